//! What publishes the images: the workflows, and the scripts in `docker/publish/` that have all of their logic. Here the
//! scripts run with stand-ins for the programs that would reach a registry.

mod scripts;
mod workflows;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// A build argument that no Dockerfile has would be ignored, and a name with another version would be a lie.
#[test]
fn the_table_of_published_images_agrees_with_the_dockerfiles() {
    let read = |file: &str| fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
    let table = read("docker/publish/images.txt");
    let mut published = BTreeSet::new();
    for line in table.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (image, file) = (words[0], words[1]);
        let variant = image.split('-').next().unwrap();
        assert_eq!(file, format!("Dockerfile.{variant}"), "{image}");
        let dockerfile = read(file);
        for argument in &words[3..] {
            let (name, value) = argument.split_once('=').unwrap();
            let declared = dockerfile.lines().any(|line| line.starts_with(&format!("ARG {name}=")));
            assert!(declared, "{file} has no argument {name}");
            if name == "CUDA_IMAGE" {
                // cuda-12.9.1-runtime-debian13 is made of nvidia/cuda:12.9.1-runtime-ubuntu24.04.
                let version = image.strip_prefix("cuda-").and_then(|rest| rest.rsplit_once('-'));
                let version = version.map_or("", |(version, _)| version);
                assert!(value.contains(&format!(":{version}-")), "{image} is made of {value}");
            }
        }
        published.insert(variant.to_owned());
    }
    assert_eq!(published, ["cpu", "cuda", "rocm"].map(str::to_owned).into());
}
