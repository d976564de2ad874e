//! Where an image is asked for, and which addresses may be asked at all. Pure.

use reqwest::Url;
use url::Host;

use super::ImagesError;
use crate::model::ImageRef;

/// Where the manifest of a tag is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The registry's host and port, as shown to people.
    pub registry: String,
    /// The path inside the registry.
    pub repository: String,
    /// The manifest's address.
    pub manifest: Url,
}

impl Place {
    /// Builds the address of an image's tag, `latest` when it names none.
    ///
    /// Docker Hub answers at another host than its name says, and keeps single-word names under
    /// `library/`. `http` is spoken to this machine only.
    ///
    /// # Errors
    /// `BadAnswer` when the registry's name is no host name.
    pub fn of(image: &ImageRef) -> Result<Self, ImagesError> {
        let is_hub = matches!(image.registry.as_str(), "docker.io" | "index.docker.io");
        let registry = if is_hub {
            "registry-1.docker.io"
        } else {
            image.registry.as_str()
        };
        let repository = if is_hub && !image.repository.contains('/') {
            format!("library/{}", image.repository)
        } else {
            image.repository.clone()
        };
        let tag = image.tag.as_deref().unwrap_or("latest");
        let path = format!("{registry}/v2/{repository}/manifests/{tag}");
        let manifest = parse(&path).ok_or_else(|| ImagesError::BadAnswer {
            registry: registry.to_owned(),
            why: "that is no host name".to_owned(),
        })?;
        Ok(Self {
            registry: registry.to_owned(),
            repository,
            manifest,
        })
    }
}

fn parse(path: &str) -> Option<Url> {
    let mut url = Url::parse(&format!("https://{path}")).ok()?;
    if is_loopback(&url) {
        url = Url::parse(&format!("http://{path}")).ok()?;
    }
    Some(url)
}

/// Tells whether an address is on this machine.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

/// Tells whether an address may be asked: `https`, or `http` on this machine, and no credentials in it.
pub fn is_allowed(url: &Url) -> bool {
    let has_credentials = !url.username().is_empty() || url.password().is_some();
    let is_safe = match url.scheme() {
        "https" => url.has_host(),
        "http" => is_loopback(url),
        _ => false,
    };
    is_safe && !has_credentials
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(image: &str) -> String {
        let place = Place::of(&ImageRef::parse(image).unwrap()).unwrap();
        place.manifest.to_string()
    }

    #[test]
    fn docker_hub_lives_elsewhere_and_keeps_a_library() {
        let hub = "https://registry-1.docker.io/v2";
        assert_eq!(
            manifest("postgres:16-alpine"),
            format!("{hub}/library/postgres/manifests/16-alpine")
        );
        assert_eq!(
            manifest("docker.io/grafana/grafana"),
            format!("{hub}/grafana/grafana/manifests/latest")
        );
    }

    #[test]
    fn only_this_machine_is_asked_without_tls() {
        assert_eq!(
            manifest("localhost:5000/a:1"),
            "http://localhost:5000/v2/a/manifests/1"
        );
        assert_eq!(
            manifest("127.0.0.1:5000/a:1"),
            "http://127.0.0.1:5000/v2/a/manifests/1"
        );
        assert_eq!(
            manifest("ghcr.io/o/d:1"),
            "https://ghcr.io/v2/o/d/manifests/1"
        );
        for host in [
            "localhost.example.com",
            "127.0.0.1.example.com",
            "10.0.0.1:5000",
        ] {
            assert!(
                manifest(&format!("{host}/a:1")).starts_with("https://"),
                "{host}"
            );
        }
    }

    #[test]
    fn a_registry_that_is_no_host_is_an_error() {
        let image = ImageRef::parse("ghcr.io:99999/a:1").unwrap();
        assert!(Place::of(&image).is_err());
    }

    #[test]
    fn addresses_with_credentials_or_other_schemes_are_not_asked() {
        let allowed = |text: &str| is_allowed(&Url::parse(text).unwrap());
        for good in [
            "https://auth.docker.io/token",
            "http://localhost:1/t",
            "http://[::1]:1/t",
        ] {
            assert!(allowed(good), "{good}");
        }
        for bad in [
            "http://auth.docker.io/token",
            "https://me:pw@auth.docker.io/token",
            "https://me@auth.docker.io/token",
            "ftp://localhost/t",
            "file:///etc/passwd",
            "data:text/plain,x",
        ] {
            assert!(!allowed(bad), "{bad}");
        }
    }
}
