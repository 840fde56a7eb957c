//! Keys and mouse as a person uses them: `WebDriver`'s actions, which reach the page as trusted events of the whole
//! window, not of an element that a test picked.

use std::time::Duration;

use fantoccini::actions::{InputSource, KeyAction, KeyActions, MouseActions, PointerAction};

pub use fantoccini::key::Key;

/// The pause between two keys of a fast typist; a burst without any pause is not a realistic test.
const BETWEEN_KEYS: Duration = Duration::from_millis(15);

/// How long a button or a chord stays down. Desktops ignore clicks that are too short to be meant.
const HELD: Duration = Duration::from_millis(60);

/// Every character in turn; a newline is the Enter key.
pub fn typing(text: &str) -> KeyActions {
    let mut actions = Vec::new();
    for character in text.chars() {
        let value = if character == '\n' { char::from(Key::Enter) } else { character };
        actions.extend([KeyAction::Down { value }, KeyAction::Pause { duration: BETWEEN_KEYS }]);
        actions.extend([KeyAction::Up { value }, KeyAction::Pause { duration: BETWEEN_KEYS }]);
    }
    keyboard(actions)
}

/// All keys down in the given order, and up again in the reverse order.
pub fn chord(keys: &[char]) -> KeyActions {
    let mut actions = Vec::new();
    for &value in keys {
        actions.extend([KeyAction::Down { value }, KeyAction::Pause { duration: BETWEEN_KEYS }]);
    }
    actions.push(KeyAction::Pause { duration: HELD });
    for &value in keys.iter().rev() {
        actions.extend([KeyAction::Up { value }, KeyAction::Pause { duration: BETWEEN_KEYS }]);
    }
    keyboard(actions)
}

/// Clicks with the left button at a position in the window.
pub fn click(x: u32, y: u32) -> MouseActions {
    let actions = [
        PointerAction::MoveTo { duration: Some(HELD), x: f64::from(x), y: f64::from(y) },
        PointerAction::Down { button: 0 },
        PointerAction::Pause { duration: HELD },
        PointerAction::Up { button: 0 },
    ];
    actions.into_iter().fold(MouseActions::new("mouse".into()), InputSource::then)
}

fn keyboard(actions: Vec<KeyAction>) -> KeyActions {
    actions.into_iter().fold(KeyActions::new("keyboard".into()), InputSource::then)
}
