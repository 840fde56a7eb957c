//! Serves the files of a folder, for pages that belong to a bridge.
//!
//! Invariants: no file outside the folder is served, whatever a path or a symbolic link says; no hidden files, only
//! regular files, no directory listings.

use std::path::{Component, Path, PathBuf};

use axum::body::Body;
use axum::http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use tower_http::services::ServeFile;

use super::base::Base;
use super::{page, uri};
use crate::gateway::upstream::body::Reply;

/// Headers for these pages. The pages use their own scripts and styles, so the policy restricts only framing.
const HEADERS: [(HeaderName, &str); 5] = [
    // Browsers always revalidate, so updates take effect; this is cheap while the files are unchanged.
    (CACHE_CONTROL, "no-cache"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (CONTENT_SECURITY_POLICY, "frame-ancestors 'self'"),
    (REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Answers a request with a file of `folder`. `/` redirects to `entry`.
pub(crate) async fn serve(
    folder: &Path,
    entry: &str,
    base: &Base,
    request: Request<Body>,
) -> Response<Reply> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = page::text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are allowed here");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    let path = request.uri().path();
    if path == "/" && entry != "/" {
        return page::redirect(&base.to(uri::local(entry)));
    }
    let Some(file) = find(folder, path).await else {
        return page::text(StatusCode::NOT_FOUND, "there is no such file");
    };
    match ServeFile::new(&file).try_call(request).await {
        Ok(response) => {
            let mut response = response.map(|body| Reply::from(Body::new(body)));
            for (name, value) in HEADERS {
                response.headers_mut().insert(name, HeaderValue::from_static(value));
            }
            response
        }
        Err(error) => {
            tracing::warn!("{}: {error}", file.display());
            page::text(StatusCode::INTERNAL_SERVER_ERROR, "the file cannot be read")
        }
    }
}

/// The file that a path means, with all symbolic links resolved.
async fn find(folder: &Path, path: &str) -> Option<PathBuf> {
    let decoded = String::from_utf8(uri::decode(path, false)).ok()?;
    let index = if decoded.ends_with('/') { "index.html" } else { "" };
    let name = decoded.strip_prefix('/')?.to_owned() + index;
    let plain = |part: Component<'_>| match part {
        Component::Normal(name) => !name.as_encoded_bytes().starts_with(b"."),
        _ => false,
    };
    if !Path::new(&name).components().all(plain) {
        return None;
    }
    let folder = tokio::fs::canonicalize(folder).await.ok()?;
    let file = tokio::fs::canonicalize(folder.join(name)).await.ok()?;
    let inside = file.starts_with(&folder) && tokio::fs::metadata(&file).await.ok()?.is_file();
    inside.then_some(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[tokio::test]
    async fn only_plain_files_of_the_folder_are_found() {
        let outer = tempfile::tempdir().unwrap();
        let folder = outer.path().join("pages");
        fs::create_dir_all(folder.join("app")).unwrap();
        for file in ["secret", "pages/index.html", "pages/a b.js", "pages/.hidden", "pages/app/ui.js"] {
            fs::write(outer.path().join(file), file).unwrap();
        }
        symlink("index.html", folder.join("inner")).unwrap();
        symlink("../secret", folder.join("outer")).unwrap();
        symlink("/etc", folder.join("etc")).unwrap();
        symlink("nowhere", folder.join("dangling")).unwrap();
        for (path, file) in [
            ("/", "index.html"),
            ("/index.html", "index.html"),
            ("/inner", "index.html"),
            ("/a%20b.js", "a b.js"),
            ("/app/ui.js", "app/ui.js"),
            ("/app%2Fui.js", "app/ui.js"),
        ] {
            let found = find(&folder, path).await;
            assert_eq!(found, Some(folder.canonicalize().unwrap().join(file)), "{path}");
        }
        for path in [
            "",
            "/app",
            "/app/",
            "/index.html/",
            "//etc/passwd",
            "/../secret",
            "/..%2fsecret",
            "/%2e%2e/secret",
            "/app/../../secret",
            "/app/../index.html",
            "/.hidden",
            "/./index.html",
            "/outer",
            "/etc/passwd",
            "/dangling",
            "/index.html%00",
            "/%ff",
            "/..\\secret",
            "/none",
        ] {
            assert_eq!(find(&folder, path).await, None, "{path:?}");
        }
        assert_eq!(find(&outer.path().join("none"), "/index.html").await, None);
    }
}
