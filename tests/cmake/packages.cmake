# Every library the project uses, in one place. The versions are those it was
# tested with (Debian 12); older ones of Ubuntu 22.04 are the floor.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
pkg_check_modules(OPENSSL REQUIRED IMPORTED_TARGET libssl>=3.0.2 libcrypto>=3.0.2) # 3.0.22
pkg_check_modules(SQLITE REQUIRED IMPORTED_TARGET sqlite3>=3.37)                   # 3.40.1
pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET jansson>=2.13)                  # 2.14
pkg_check_modules(CBOR REQUIRED IMPORTED_TARGET libcbor>=0.8)                      # 0.8.0
pkg_check_modules(INIH REQUIRED IMPORTED_TARGET inih>=53)                          # 55
pkg_check_modules(MOSQUITTO REQUIRED IMPORTED_TARGET libmosquitto>=2.0.11)         # 2.0.11
pkg_check_modules(MICROHTTPD REQUIRED IMPORTED_TARGET libmicrohttpd>=0.9.75)       # 0.9.75
pkg_check_modules(SERIALPORT REQUIRED IMPORTED_TARGET libserialport>=0.1.1)        # 0.1.1
pkg_check_modules(CURL REQUIRED IMPORTED_TARGET libcurl>=7.81)                     # 7.88.1
pkg_check_modules(QRENCODE REQUIRED IMPORTED_TARGET libqrencode>=4.1)              # 4.1.1
pkg_check_modules(PNG REQUIRED IMPORTED_TARGET libpng>=1.6.37)                      # 1.6.39

# libjq has no pkg-config file on the oldest system.
find_library(JQ_LIBRARY jq REQUIRED)                                               # 1.6
find_path(JQ_INCLUDE jq.h REQUIRED)
add_library(iot_jq INTERFACE)
target_link_libraries(iot_jq INTERFACE ${JQ_LIBRARY})
target_include_directories(iot_jq SYSTEM INTERFACE ${JQ_INCLUDE})

find_path(MOSQUITTO_PLUGIN_INCLUDE mosquitto_plugin.h REQUIRED)                    # mosquitto-dev 2.0.11
add_library(iot_mosquitto_plugin INTERFACE)
target_include_directories(iot_mosquitto_plugin SYSTEM INTERFACE ${MOSQUITTO_PLUGIN_INCLUDE})
