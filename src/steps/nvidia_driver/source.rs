//! Where NVIDIA's driver is: the addresses on a server, or the places in a folder. Pure but for one look at the folder.

use std::path::{Path, PathBuf};

use reqwest::Url;

use crate::steps::fetch::Source;

/// The architecture of this machine by NVIDIA's name, if NVIDIA has a driver for it.
pub(super) const ARCH: Option<&str> = if cfg!(target_arch = "x86_64") {
    Some("x86_64")
} else if cfg!(target_arch = "aarch64") {
    Some("aarch64")
} else {
    None
};

/// The driver that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    /// The version of the kernel's module: `550.54.14`.
    pub(super) version: String,
    /// The architecture by NVIDIA's name: `x86_64` or `aarch64`.
    pub(super) arch: &'static str,
}

impl Wanted {
    /// For this machine. The version becomes a part of addresses and paths.
    pub(super) fn new(version: &str) -> Result<Self, String> {
        let parts = version.split('.');
        let numbers = parts.clone().all(|part| !part.is_empty() && part.bytes().all(|c| c.is_ascii_digit()));
        if !numbers || !(2..=4).contains(&parts.count()) || version.len() > 32 {
            return Err(format!("\"{version}\" is not the version of a driver"));
        }
        let arch = ARCH.ok_or("NVIDIA has no driver for the architecture of this machine")?;
        Ok(Self { version: version.to_owned(), arch })
    }

    /// The name of NVIDIA's file.
    pub(super) fn file(&self) -> String {
        format!("NVIDIA-Linux-{}-{}.run", self.arch, self.version)
    }

    /// The places of the file on NVIDIA's server, and on mirrors of it: drivers for `GeForce` and RTX, and those that are
    /// released for datacenters alone.
    fn places(&self) -> [String; 2] {
        let (version, file) = (&self.version, self.file());
        [format!("XFree86/Linux-{}/{version}/{file}", self.arch), format!("tesla/{version}/{file}")]
    }

    /// The places in a folder where the file may be.
    fn files(&self) -> Vec<String> {
        let (version, file) = (&self.version, self.file());
        let own = [file.clone(), format!("{version}/{file}")];
        own.into_iter().chain(self.places()).collect()
    }

    /// The places in a folder where the content of the file may be.
    fn trees(&self) -> [String; 3] {
        [String::new(), self.version.clone(), format!("NVIDIA-Linux-{}-{}", self.arch, self.version)]
    }
}

/// Where the driver is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Addresses, of which the first that exists is right.
    Remote(Vec<Url>),
    /// The `.run` file.
    File(PathBuf),
    /// A folder with the content of the `.run` file.
    Tree(PathBuf),
}

impl Place {
    /// The place that `NVIDIA_DRIVER_SOURCE` means. The error names the variable.
    pub(super) fn of(text: &str, wanted: &Wanted) -> Result<Self, String> {
        let found = match Source::parse(text).map_err(|error| format!("NVIDIA_DRIVER_SOURCE: {error}"))? {
            Source::Remote(base) if is_run_file(&base) => Self::Remote(vec![base]),
            Source::Remote(base) => Self::Remote(wanted.places().map(|place| below(&base, &place)).into()),
            Source::Local(path) => return local(&path, wanted),
        };
        Ok(found)
    }
}

/// Whether the address is that of a file, and not of a server or of a folder.
fn is_run_file(url: &Url) -> bool {
    Path::new(url.path()).extension().is_some_and(|ending| ending == "run")
}

fn below(base: &Url, place: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}/{place}", base.path().trim_end_matches('/')));
    url
}

fn local(path: &Path, wanted: &Wanted) -> Result<Place, String> {
    if path.is_file() {
        return Ok(Place::File(path.to_owned()));
    }
    if let Some(file) = wanted.files().iter().map(|file| path.join(file)).find(|file| file.is_file()) {
        return Ok(Place::File(file));
    }
    let sign = format!("libGLX_nvidia.so.{}", wanted.version);
    let trees = wanted.trees().map(|tree| path.join(tree));
    if let Some(tree) = trees.into_iter().find(|tree| tree.join(&sign).is_file()) {
        return Ok(Place::Tree(tree));
    }
    Err(format!(
        "NVIDIA_DRIVER_SOURCE: {} has neither {} nor its content with {sign}: put the file there; NVIDIA's server has it \
         in {}",
        path.display(),
        wanted.file(),
        wanted.places().join(" or "),
    ))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn wanted() -> Wanted {
        Wanted { version: "550.54.14".to_owned(), arch: "aarch64" }
    }

    #[test]
    fn a_server_has_two_places_for_a_driver() {
        let run = "NVIDIA-Linux-aarch64-550.54.14.run";
        for (source, expected) in [
            (
                "https://international.download.nvidia.com",
                vec![
                    format!(
                        "https://international.download.nvidia.com/XFree86/Linux-aarch64/550.54.14/{run}"
                    ),
                    format!("https://international.download.nvidia.com/tesla/550.54.14/{run}"),
                ],
            ),
            (
                "http://mirror.example/nvidia/",
                vec![
                    format!("http://mirror.example/nvidia/XFree86/Linux-aarch64/550.54.14/{run}"),
                    format!("http://mirror.example/nvidia/tesla/550.54.14/{run}"),
                ],
            ),
            ("https://a.example/x/y.run?key=1", vec!["https://a.example/x/y.run?key=1".to_owned()]),
        ] {
            let Ok(Place::Remote(urls)) = Place::of(source, &wanted()) else { panic!("{source}") };
            assert_eq!(urls.iter().map(Url::as_str).collect::<Vec<_>>(), expected, "{source}");
        }
        for (source, expected) in [
            ("ftp://a.example", "begins with \"ftp:\""),
            ("relative/folder", "NVIDIA_DRIVER_SOURCE: it is not a URL"),
            ("/no/such/folder", "has neither NVIDIA-Linux-aarch64-550.54.14.run nor its content"),
        ] {
            let told = Place::of(source, &wanted()).unwrap_err();
            assert!(told.contains(expected), "{source}: {told}");
        }
    }

    #[test]
    fn a_folder_has_the_file_or_what_is_in_it() {
        let run = "NVIDIA-Linux-aarch64-550.54.14.run";
        let library = "libGLX_nvidia.so.550.54.14";
        for (file, expected) in [
            (run.to_owned(), Some((run.to_owned(), true))),
            (format!("550.54.14/{run}"), Some((format!("550.54.14/{run}"), true))),
            (format!("tesla/550.54.14/{run}"), Some((format!("tesla/550.54.14/{run}"), true))),
            (library.to_owned(), Some((String::new(), false))),
            (
                format!("NVIDIA-Linux-aarch64-550.54.14/{library}"),
                Some(("NVIDIA-Linux-aarch64-550.54.14".to_owned(), false)),
            ),
            // Another version, and another architecture.
            ("libGLX_nvidia.so.550.90".to_owned(), None),
            ("NVIDIA-Linux-x86_64-550.54.14.run".to_owned(), None),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join(&file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "").unwrap();
            let found = Place::of(dir.path().to_str().unwrap(), &wanted());
            let expected = expected.map(|(place, is_file)| {
                let place = dir.path().join(place);
                if is_file { Place::File(place) } else { Place::Tree(place) }
            });
            assert_eq!(found.ok(), expected, "{file}");
            // The file itself may be named, too, and by a URL.
            let named = Place::of(&format!("file://{}", path.display()), &wanted());
            assert_eq!(named, Ok(Place::File(path)), "{file}");
        }
    }

    #[test]
    fn only_numbers_are_a_version() {
        for (text, good) in [
            ("550.54.14", true),
            ("470.256.02", true),
            ("555.58", true),
            ("550", false),
            ("550..1", false),
            ("../550.54", false),
            ("550.54/x", false),
            ("", false),
        ] {
            assert_eq!(Wanted::new(text).is_ok(), good, "{text}");
        }
    }
}
