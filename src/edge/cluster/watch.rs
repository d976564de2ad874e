//! Watching a kind: a list that streams in, then every change as it happens, begun anew where the server
//! forgot the way. Values of Secrets end here: what leaves has their digests.

use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::BoxStream;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind};
use kube::runtime::watcher::{self, watcher};
use serde_json::Value;

use super::client::KubeCluster;
use super::{ClusterError, ClusterWatch, WatchEvent};
use crate::model::{Kind, Scope, token};

impl ClusterWatch for KubeCluster {
    fn watch(
        &self,
        kind: Kind,
        namespace: &str,
    ) -> BoxStream<'static, Result<WatchEvent, ClusterError>> {
        let (group, version) = kind
            .api_version()
            .split_once('/')
            .unwrap_or(("", kind.api_version()));
        let named = GroupVersionKind::gvk(group, version, kind.as_str());
        let resource = ApiResource::from_gvk_with_plural(&named, kind.plural());
        let api: Api<DynamicObject> = Api::namespaced_with(self.watching(), namespace, &resource);
        let config = watcher::Config::default()
            .labels(&Scope::All.selector())
            .timeout(OPEN_FOR)
            .streaming_lists();
        watcher(api, config)
            .map(move |event| translate(kind, event))
            .boxed()
    }
}

/// After how long the server ends a watch, in seconds; the next goes on where it ended. Between the marks that it sends
/// by itself minutes may pass, so that a shorter time is what tells a quiet watch from one that is gone.
const OPEN_FOR: u32 = 60;
/// How long a connection that watches may be silent: longer than the server keeps a watch open. One that is silent for
/// longer is gone, behind a firewall that forgot it, or with a machine that stopped.
pub(super) const SILENCE_LIMIT: Duration = Duration::from_secs(90);

fn translate(
    kind: Kind,
    event: watcher::Result<watcher::Event<DynamicObject>>,
) -> Result<WatchEvent, ClusterError> {
    Ok(match event.map_err(|error| failure(&error))? {
        watcher::Event::Init => WatchEvent::Begun,
        watcher::Event::InitApply(object) => WatchEvent::Listed(value(kind, object)?),
        watcher::Event::InitDone => WatchEvent::Complete,
        watcher::Event::Apply(object) => WatchEvent::Applied(value(kind, object)?),
        watcher::Event::Delete(object) => WatchEvent::Deleted(value(kind, object)?),
    })
}

fn value(kind: Kind, object: DynamicObject) -> Result<Value, ClusterError> {
    let mut value = serde_json::to_value(object)
        .map_err(|_| ClusterError::Unreachable("an event that is no object".to_owned()))?;
    if kind == Kind::Secret {
        token::seal(&mut value);
    }
    Ok(value)
}

/// Sorts what went wrong. A server's words may quote an object; its code and reason do not.
fn failure(error: &watcher::Error) -> ClusterError {
    let (watcher::Error::InitialListFailed(kube::Error::Api(status))
    | watcher::Error::WatchStartFailed(kube::Error::Api(status))
    | watcher::Error::WatchFailed(kube::Error::Api(status))
    | watcher::Error::WatchError(status)) = error
    else {
        return ClusterError::Unreachable("the watch ended".to_owned());
    };
    match status.code {
        401 => ClusterError::Unauthorized,
        403 => ClusterError::Forbidden("to watch it".to_owned()),
        404 => ClusterError::NotFound,
        410 => ClusterError::Gone,
        429 => ClusterError::TooManyRequests(None),
        code => ClusterError::Server {
            code,
            reason: status.reason.chars().take(64).collect(),
        },
    }
}
