//! Icons as line drawings of 16 units, in the colour of the text around them.

use maud::{Markup, html};

/// An icon by the path that draws it. Screen readers pass over it, because a text is beside it.
fn icon(path: &str) -> Markup {
    html! {
        svg.icon viewBox="0 0 16 16" aria-hidden="true" focusable="false" { path d=(path) {} }
    }
}

pub(super) fn home() -> Markup {
    icon("M2 7.5 8 2.5l6 5M3.5 6.5v7h9v-7M6.5 13.5v-4h3v4")
}

pub(super) fn services() -> Markup {
    icon("M2 3.5h12M2 8h12M2 12.5h12M4.5 2v3M10.5 6.5v3M6.5 11v3")
}

pub(super) fn logs() -> Markup {
    icon("M3 2h10v12H3zM5.5 5h5M5.5 8h5M5.5 11h3")
}

pub(super) fn display() -> Markup {
    icon("M1.5 2.5h13v9h-13zM5.5 14h5M8 11.5V14")
}

pub(super) fn boot() -> Markup {
    icon("M2 3.5h4M5 8h6M9 12.5h5")
}

pub(super) fn machine() -> Markup {
    icon("M1.5 9h3l2-5.5 3 9 2-3.5h3")
}

pub(super) fn tunnels() -> Markup {
    icon("M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12zM2 8h12M8 2c2.5 2 2.5 10 0 12M8 2c-2.5 2-2.5 10 0 12")
}

pub(super) fn setup() -> Markup {
    icon("M8 2v8M5 7.5 8 10.5l3-3M2.5 13.5h11")
}

pub(super) fn settings() -> Markup {
    icon("M2 4.5h7M13 4.5h1M2 11.5h1M7 11.5h7M11 2.800v3.4M5 9.800v3.4")
}

pub(super) fn terminal() -> Markup {
    icon("M1.5 2.500h13v11h-13zM4 6l2.500 2L4 10M8 10.500h4")
}

pub(super) fn more() -> Markup {
    icon("M2.5 4h11M2.5 8h11M2.5 12h11")
}

pub(super) fn open() -> Markup {
    icon("M6 3H3v10h10v-3M9 2.5h4.5V7M13 3 7 9")
}
