//! A program that has set a global default of its own.

use the_edge_obs::config::Config;
use the_edge_obs::configure;

#[test]
fn another_global_default_is_not_replaced() {
    tracing::subscriber::set_global_default(tracing_subscriber::registry()).unwrap();
    let error = configure(&Config::default()).unwrap_err();
    assert_eq!(error.name(), "ConfigurationError");
    assert!(error
        .to_string()
        .ends_with("add the layer of Config::layer to its registry"));
    assert!(configure(&Config::default()).is_err());
}
