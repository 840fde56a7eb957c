//! Which keycodes are spare, and which of their bindings are the oldest.

use std::collections::{BTreeMap, VecDeque};

/// The symbols of each keycode; an empty list where programs may bind their own.
pub(super) type Symbols = BTreeMap<u8, Vec<u32>>;

/// While a person types, a program needs one empty keycode after another, and an old binding may be needed again at any
/// moment: if fewer keycodes than the first number are empty, bindings are removed until as many as the second number
/// are.
const WHILE_TYPING: (usize, usize) = (2, 4);

/// The same while no key is pressed.
const AT_REST: (usize, usize) = (4, 7);

/// The keycodes that the layout leaves empty.
#[derive(Debug)]
pub(super) struct Pool {
    spare: Symbols,
    /// The bound keycodes, the least recently used one first.
    bound: VecDeque<u8>,
}

impl Pool {
    /// The pool of the keycodes that are empty now, and of those known to be left empty by the layout.
    pub(super) fn new(now: &Symbols, known: &[u8]) -> Self {
        let spare = |(keycode, symbols): &(&u8, &Vec<u32>)| symbols.is_empty() || known.contains(keycode);
        let spare: Symbols = now.iter().filter(spare).map(|(k, s)| (*k, s.clone())).collect();
        let bound = spare.iter().filter(|(_, symbols)| !symbols.is_empty()).map(|(k, _)| *k).collect();
        Self { spare, bound }
    }

    /// All spare keycodes.
    pub(super) fn keycodes(&self) -> impl Iterator<Item = u8> {
        self.spare.keys().copied()
    }

    /// Whether the keycode has the symbols that the last update saw.
    pub(super) fn knows(&self, keycode: u8, now: &Symbols) -> bool {
        self.spare.get(&keycode).is_some_and(|symbols| now.get(&keycode) == Some(symbols))
    }

    /// Takes over the current keyboard. With another layout a spare keycode may have become a real key. `pressed` has
    /// the keycodes pressed since the last update: if several bindings are new, the presses tell their order. A new
    /// binding whose key was not pressed yet is the newest.
    pub(super) fn update(&mut self, now: &Symbols, new_layout: bool, pressed: &[u8]) {
        if new_layout {
            self.spare.retain(|keycode, symbols| {
                now.get(keycode).is_some_and(|now| now.is_empty() || now == symbols)
            });
            for (keycode, _) in now.iter().filter(|(_, symbols)| symbols.is_empty()) {
                self.spare.entry(*keycode).or_default();
            }
        }
        let mut new = Vec::new();
        for (keycode, symbols) in &mut self.spare {
            let Some(now) = now.get(keycode) else { continue };
            if now != symbols {
                self.bound.retain(|bound| bound != keycode);
                if !now.is_empty() {
                    self.bound.push_back(*keycode);
                    new.push(*keycode);
                }
                symbols.clone_from(now);
            }
        }
        self.bound.retain(|keycode| self.spare.contains_key(keycode));
        new.retain(|keycode| !pressed.contains(keycode));
        self.used(pressed);
        self.used(&new);
    }

    /// Marks keycodes as just used, the last one as the newest.
    pub(super) fn used(&mut self, keycodes: &[u8]) {
        for keycode in keycodes {
            self.move_to_back(*keycode);
        }
    }

    fn move_to_back(&mut self, keycode: u8) {
        if let Some(at) = self.bound.iter().position(|bound| *bound == keycode) {
            self.bound.remove(at);
            self.bound.push_back(keycode);
        }
    }

    /// The bindings to remove, the least recently used one first. The newer half stays: a program that has just made a
    /// binding is about to press its key.
    pub(super) fn excess(&self, at_rest: bool) -> Vec<u8> {
        let (least, enough) = if at_rest { AT_REST } else { WHILE_TYPING };
        let empty = self.spare.len() - self.bound.len();
        if empty >= least {
            return Vec::new();
        }
        let old = self.bound.len().saturating_sub(self.spare.len() / 2);
        self.bound.iter().copied().take(old.min(enough - empty)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A keyboard with ten keycodes, of which 8 and 9 are keys of the layout.
    fn keyboard(bindings: &[(u8, u32)]) -> Symbols {
        let mut keys: Symbols = (8..18).map(|keycode| (keycode, Vec::new())).collect();
        keys.extend([(8, vec![97]), (9, vec![98])]);
        keys.extend(bindings.iter().map(|(keycode, symbol)| (*keycode, vec![*symbol])));
        keys
    }

    fn all(from: u8, to: u8) -> Vec<(u8, u32)> {
        (from..to).map(|keycode| (keycode, u32::from(keycode) * 100)).collect()
    }

    #[test]
    fn least_recently_used_bindings_are_removed_before_the_last_keycode_is_taken() {
        let mut pool = Pool::new(&keyboard(&[]), &[]);
        assert_eq!(pool.keycodes().collect::<Vec<_>>(), (10..18).collect::<Vec<_>>());
        for to in 11..=14 {
            pool.update(&keyboard(&all(10, to)), false, &[]);
            assert!(pool.excess(true).is_empty(), "{} are empty", 18 - to);
        }
        let mut bindings = all(10, 15);
        pool.update(&keyboard(&bindings), false, &[]);
        assert_eq!(pool.excess(true), [10]);
        // A renewed binding is the newest, and so is one whose key was pressed.
        bindings[0].1 = 1;
        pool.update(&keyboard(&bindings), false, &[]);
        pool.used(&[11, 9]);
        assert_eq!(pool.excess(true), [12]);
        // While a person types, only as many as necessary are removed.
        bindings.extend(all(15, 17));
        pool.update(&keyboard(&bindings), false, &[]);
        assert_eq!((pool.excess(false), pool.excess(true)), (vec![12, 13, 14], vec![12, 13, 14]));
        bindings.extend(all(17, 18));
        pool.update(&keyboard(&bindings), false, &[]);
        // The newer half always stays.
        assert_eq!(pool.excess(true), [12, 13, 14, 10]);
        // After their removal, no more are removed.
        bindings.retain(|(keycode, _)| ![12, 13, 14, 10].contains(keycode));
        pool.update(&keyboard(&bindings), false, &[]);
        assert!(pool.excess(true).is_empty());
        assert_eq!(pool.bound, [11, 15, 16, 17]);
    }

    #[test]
    fn spare_keycodes_are_known_after_a_restart() {
        let late = keyboard(&all(10, 18));
        assert!(Pool::new(&late, &[]).excess(true).is_empty(), "no keycode is known to be spare");
        let known: Vec<u8> = (10..18).collect();
        assert_eq!(Pool::new(&late, &known).excess(true), [10, 11, 12, 13]);
    }

    #[test]
    fn a_key_of_a_new_layout_is_not_a_binding() {
        let mut pool = Pool::new(&keyboard(&[]), &[]);
        pool.update(&keyboard(&all(10, 15)), false, &[]);
        // Keycode 10 is a key now, 11 stays bound, 9 is empty, and the others are empty as well.
        let mut other = keyboard(&[(10, 5), (11, 1100)]);
        other.insert(9, Vec::new());
        pool.update(&other, true, &[]);
        assert_eq!(pool.keycodes().collect::<Vec<_>>(), [9, 11, 12, 13, 14, 15, 16, 17]);
        assert_eq!(pool.bound, [11]);
        // A change to the same keyboard by another device changes nothing.
        let before = format!("{pool:?}");
        pool.update(&other, true, &[]);
        assert_eq!(format!("{pool:?}"), before);
    }

    #[test]
    fn new_bindings_seen_at_once_are_as_old_as_the_last_press_of_their_keys() {
        let mut pool = Pool::new(&keyboard(&[]), &[]);
        // Programs used the keycodes in this order while this service got no time.
        pool.update(&keyboard(&all(10, 18)), false, &[10, 11, 12, 13, 14, 15, 16, 17, 10, 11]);
        assert_eq!(pool.excess(false), [12, 13, 14, 15]);
        // Without a press, a new binding is the newest: its key is pressed next.
        let mut pool = Pool::new(&keyboard(&[]), &[]);
        pool.update(&keyboard(&all(10, 18)), false, &[11, 12, 13, 14, 15, 16, 17]);
        assert_eq!(pool.bound, [11, 12, 13, 14, 15, 16, 17, 10]);
    }

    #[test]
    fn a_new_binding_stays_even_if_few_keycodes_are_empty() {
        let mut keys = keyboard(&all(10, 18));
        keys.extend([(16, Vec::new()), (17, Vec::new())]);
        let mut pool = Pool::new(&keys, &[]);
        keys.insert(16, vec![1]);
        pool.update(&keys, false, &[]);
        assert!(pool.excess(false).is_empty());
        keys.insert(17, vec![2]);
        pool.update(&keys, false, &[]);
        assert_eq!(pool.excess(false), [16]);
    }
}
