"""The MQTT connection that both sides share: topics, endpoint, retry rules and the supervised connection."""
