//! What only some images have: those of `APPS=minimal`, `studio` and `dev`, and the one on Ubuntu. `tests/run --variant NAME`
//! builds the image and runs these tests on it.

use crate::browser::Browser;
use crate::menu::{self, apps, in_desktop};
use crate::stack::{self, PASSWORD, START, USER};

/// Files of the studio's programs, and the class and the title of the window in which each opens.
const OPENED: [(&str, &str, &str); 6] = [
    ("letter.odt", "soffice", "letter.odt"),
    ("report.docx", "soffice", "report.docx"),
    ("sum.ods", "soffice", "sum.ods"),
    ("layers.xcf", "gimp", "layers"),
    ("drawing.svg", "inkscape", "drawing.svg"),
    ("scene.blend", "blender", "scene"),
];

/// Makes them by the programs themselves, as far as they have a command for it. GIMP's is an image without a layer: its head,
/// then the end of its properties, layers and channels.
const MAKE: &str = r#"
    mkdir -p ~/things && cd ~/things && echo text >letter.txt && cp letter.txt report.txt && echo 1,2 >sum.csv
    for made in odt:letter.txt docx:report.txt ods:sum.csv; do
        soffice --headless --convert-to "${made%%:*}" "${made#*:}"
    done
    blender --background --factory-startup --python-expr \
        "import bpy; bpy.ops.wm.save_as_mainfile(filepath='$HOME/things/scene.blend')"
    echo '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect width="9" height="9"/></svg>' >drawing.svg
    python3 -c "import struct; open('layers.xcf', 'wb').write(b'gimp xcf file\0' + struct.pack('>IIIIIII', 64, 64, 0, 0, 0, 0, 0))"
    ls"#;

/// Programs of the shell that `APPS=dev` adds, at work.
const DEV: [(&str, &str); 4] = [
    ("printf 'int main() { return 3; }' >/tmp/a.c && cc -g -o /tmp/a /tmp/a.c && /tmp/a; echo $?", "3"),
    (
        "mkdir -p /tmp/b && cd /tmp/b && printf 'project(b CXX)\\nadd_executable(b b.cc)' >CMakeLists.txt && \
         printf '#include <iostream>\\nint main() { std::cout << \"built\"; }' >b.cc && cmake . >/dev/null 2>&1 && \
         make >/dev/null && ./b",
        "built",
    ),
    ("gdb -batch -ex 'break main' -ex run -ex bt /tmp/a 2>&1", "main () at /tmp/a.c"),
    (
        "mkdir -p /tmp/n && cd /tmp/n && npm init -y >/dev/null && node -e 'console.log(require(\"./package.json\").name)'",
        "n",
    ),
];

#[tokio::test]
#[ignore = "for the images of `tests/run --variant`"]
async fn the_variants_desktop_is_whole_and_has_its_programs() {
    let spec = stack::spec().env("WEB_USER", USER).env("WEB_PASSWORD", PASSWORD);
    let stack = stack::Stack::new(spec.start(&["init"]));
    let status = stack.wait_until_up().await;
    assert!(status.ready, "{:?}", status.not_ready);
    assert_eq!(status.problems, [""; 0]);
    let browser = Browser::start().await;
    let desktop = stack::enter(&browser, &stack, USER, PASSWORD).await;
    desktop.wait_for_picture(START).await;
    browser.keep_screenshot(&format!("{}.png", apps())).await;
    drop(browser);
    match apps().as_str() {
        // The others' menus are in `apps.rs`, whose tests need their programs.
        "minimal" => menu::every_program_of_the_menu_starts(&stack).await,
        "studio" => files_open_in_the_studios_programs(&stack).await,
        "dev" => {
            for (command, expected) in DEV {
                let done = stack.as_user(&["bash", "-c", command]);
                assert!(done.stdout.contains(expected), "{command}: {done:?}");
            }
        }
        _ => {}
    }
}

async fn files_open_in_the_studios_programs(stack: &stack::Stack) {
    let made = in_desktop(stack, MAKE);
    for (file, class, title) in OPENED {
        assert!(made.stdout.lines().any(|line| line == file), "{file}: {made:?}");
        // What Dolphin does with a file that is clicked.
        in_desktop(stack, &format!("kioclient exec ~/things/{file} >/dev/null 2>&1 &"));
        menu::seen(stack, class, title).await;
        menu::end_all(stack).await;
    }
}
