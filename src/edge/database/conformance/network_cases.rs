//! Cases about the network as the last declaration names it.

use super::*;
use crate::model::network::KnownNetwork;

pub(super) async fn the_network_is_kept_as_the_last_declaration_has_it(world: World) {
    let database = world.open().await;
    assert_eq!(database.known_network().await.unwrap(), None);
    let odd = "quotes ' \" \\ $1 ?1 \u{1f600}";
    let networks =
        [("wss://chain.example:9944", odd), ("", "")].map(|(endpoint, name)| KnownNetwork {
            netuid: u16::MAX,
            chain_endpoint: endpoint.to_owned(),
            name: name.to_owned(),
            master_uid: 7,
        });
    for (second, network) in (1..).zip(networks) {
        database.keep_network(&network, at(second)).await.unwrap();
        assert_eq!(database.known_network().await.unwrap(), Some(network));
    }
    let kept = world.ask("select cast(count(*) as text) from known_network");
    assert_eq!(kept.await, ["1"]);
}
