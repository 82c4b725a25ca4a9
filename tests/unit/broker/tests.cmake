iot_unit(broker/test_plugin iot_plugin_host PkgConfig::MOSQUITTO PkgConfig::OPENSSL)
