//! Files that use each other in a circle: none of them can be read, tested or moved without the others.
//!
//! A file uses another one when its code, without tests, names an item that the other one defines; re-exports are
//! followed to the definition. A re-export by itself is no use.

use std::collections::{BTreeMap, BTreeSet};

use syn::{Item, Visibility};

use super::code;

/// One module: a file, or a module within a file.
#[derive(Default)]
struct Module {
    /// The file that the module is in, relative to `src`.
    file: String,
    items: BTreeSet<String>,
    /// Names from `use`, with the paths that they stand for.
    imports: BTreeMap<String, Vec<String>>,
    globs: Vec<Vec<String>>,
    /// The paths that the code names.
    named: Vec<Vec<String>>,
}

/// The modules of the crate by their paths.
#[derive(Default)]
struct Crate(BTreeMap<Vec<String>, Module>);

/// The circles among `files` (name relative to `src`, and text), each with the uses that close the circle.
pub fn circles(files: &[(String, String)]) -> Vec<String> {
    let mut all = Crate::default();
    for (name, text) in files.iter().filter(|(name, _)| name != "main.rs" && !name.ends_with("tests.rs")) {
        let bare = name.trim_end_matches(".rs").trim_end_matches("/mod");
        let path = if name == "lib.rs" { Vec::new() } else { bare.split('/').map(str::to_owned).collect() };
        all.add(path, name, code::without_tests(text).items);
    }
    let mut uses: BTreeMap<&str, BTreeMap<&str, BTreeSet<String>>> = BTreeMap::new();
    for (path, module) in &all.0 {
        for named in &module.named {
            if let Some(file) = all.definition(path, named, 0).filter(|file| *file != module.file) {
                let of = uses.entry(&module.file).or_default().entry(file).or_default();
                of.insert(named.join("::"));
            }
        }
    }
    let reached: BTreeMap<&str, BTreeSet<&str>> =
        uses.keys().map(|file| (*file, reachable(file, &uses))).collect();
    let mut found = BTreeSet::new();
    for (file, others) in &reached {
        if others.contains(file) {
            let together = |other: &&&str| reached.get(**other).is_some_and(|back| back.contains(file));
            found.insert(others.iter().filter(together).copied().collect::<Vec<_>>());
        }
    }
    let why = |circle: &Vec<&str>| {
        let pairs =
            circle.iter().flat_map(|file| uses[file].iter().map(move |(to, names)| (file, to, names)));
        let pairs = pairs.filter(|(_, to, _)| circle.contains(to));
        let lines: Vec<_> = pairs
            .map(|(file, to, names)| {
                let names: Vec<_> = names.iter().map(String::as_str).collect();
                format!("  {file} -> {to}: {}", names.join(", "))
            })
            .collect();
        format!("a circle of {} files:\n{}", circle.len(), lines.join("\n"))
    };
    found.iter().map(why).collect()
}

/// The files that `file` uses, directly and through others.
fn reachable<'a>(
    file: &str,
    uses: &BTreeMap<&'a str, BTreeMap<&'a str, BTreeSet<String>>>,
) -> BTreeSet<&'a str> {
    let mut seen = BTreeSet::new();
    let mut left: Vec<&str> = vec![file];
    while let Some(file) = left.pop() {
        for other in uses.get(file).into_iter().flat_map(BTreeMap::keys) {
            if seen.insert(*other) {
                left.push(other);
            }
        }
    }
    seen
}

impl Crate {
    fn add(&mut self, path: Vec<String>, file: &str, items: Vec<Item>) {
        let mut module = Module { file: file.to_owned(), ..Module::default() };
        for item in items {
            match item {
                Item::Use(of) => {
                    let mut found = Vec::new();
                    code::imports(&of.tree, &[], &mut found);
                    for (name, to) in found {
                        if matches!(of.vis, Visibility::Inherited) {
                            module.named.push(to.clone());
                        }
                        match name {
                            Some(name) => drop(module.imports.insert(name, to)),
                            None => module.globs.push(to),
                        }
                    }
                }
                Item::Mod(of) => {
                    if let Some((_, items)) = of.content {
                        self.add([&path[..], &[of.ident.to_string()]].concat(), file, items);
                    }
                }
                item => {
                    module.items.extend(name_of(&item));
                    let paths = code::paths(&code::tokens_of(&item));
                    module.named.extend(paths.into_iter().filter(|path| path.len() > 1));
                }
            }
        }
        self.0.insert(path, module);
    }

    /// The file that defines what `named` leads to from the module `at`; none for a module, and for another crate.
    fn definition(&self, at: &[String], named: &[String], depth: usize) -> Option<&str> {
        // Re-exports could lead in a circle.
        if depth > 16 {
            return None;
        }
        let mut at = at.to_vec();
        let mut rest = named;
        while let Some((word, after)) = rest.split_first() {
            match word.as_str() {
                "crate" => at.clear(),
                "self" => {}
                "super" => drop(at.pop()?),
                _ => break,
            }
            rest = after;
        }
        while let Some((word, after)) = rest.split_first() {
            let inner = [&at[..], std::slice::from_ref(word)].concat();
            if self.0.contains_key(&inner) {
                (at, rest) = (inner, after);
                continue;
            }
            let module = self.0.get(&at)?;
            if module.items.contains(word) {
                return Some(&module.file);
            }
            // The path of an import that has the name of its own first word leads out of the crate.
            if let Some(to) = module.imports.get(word).filter(|to| to.first() != Some(word)) {
                return self.definition(&at, &[to, after].concat(), depth + 1);
            }
            let mut globs = module.globs.iter().filter(|glob| {
                glob.first().is_some_and(|word| word == "super" || word == "crate" || word == "self")
            });
            return globs.find_map(|glob| self.definition(&at, &[glob, rest].concat(), depth + 1));
        }
        None
    }
}

fn name_of(item: &Item) -> Option<String> {
    let name = match item {
        Item::Const(of) => &of.ident,
        Item::Enum(of) => &of.ident,
        Item::Fn(of) => &of.sig.ident,
        Item::Static(of) => &of.ident,
        Item::Struct(of) => &of.ident,
        Item::Trait(of) => &of.ident,
        Item::Type(of) => &of.ident,
        _ => return None,
    };
    Some(name.to_string())
}
