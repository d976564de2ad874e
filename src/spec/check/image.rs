//! Images: their form, and what production demands of them.

use super::notes::Notes;
use crate::model::ImageRef;
use crate::spec::path::Path;

/// The registry of challenge images in production.
const REGISTRY: &str = "ghcr.io";

/// Checks the image of a challenge.
pub(super) fn check(notes: &mut Notes<'_>, path: &Path<'_>, text: &str) -> Option<ImageRef> {
    let image = check_form(notes, path, text)?;
    if notes.is_production() {
        if let Err(why) = image.check_production() {
            let remedy = "write `ghcr.io/<repository>:<version>@sha256:<64 hex>`";
            notes.error(path, format!("is refused: {why}"), remedy);
        }
        if image.registry != REGISTRY {
            notes.error(
                path,
                "is refused: production challenge images come from `ghcr.io`",
                "publish the image there",
            );
        }
    } else if image.tag.is_none() && image.digest.is_none() {
        notes.error(
            path,
            "has neither a tag nor a digest",
            "write `:<tag>` or `@sha256:<64 hex>` behind it",
        );
    }
    Some(image)
}

/// Checks the image of a managed Postgres.
pub(super) fn check_postgres(
    notes: &mut Notes<'_>,
    path: &Path<'_>,
    text: &str,
) -> Option<ImageRef> {
    let image = check_form(notes, path, text)?;
    if notes.is_production() && image.digest.is_none() {
        notes.error(
            path,
            "is refused: production wants the database image with its digest",
            "write `@sha256:<64 hex>` behind it",
        );
    } else if image.tag.is_none() && image.digest.is_none() {
        notes.error(
            path,
            "has neither a tag nor a digest",
            "write `:<tag>` or `@sha256:<64 hex>` behind it",
        );
    }
    Some(image)
}

fn check_form(notes: &mut Notes<'_>, path: &Path<'_>, text: &str) -> Option<ImageRef> {
    notes.parsed(
        path,
        ImageRef::parse(text),
        "write `<registry>/<repository>:<tag>@sha256:<64 hex>`",
    )
}
