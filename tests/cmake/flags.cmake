# Compiler flags, as two interface targets: iot_flags for everything, and
# iot_flags_plain (never sanitized) for what runs inside a program that is not
# ours: the plugin that the distribution's mosquitto loads.

set(warnings
	-Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Wmissing-prototypes
	-Wold-style-definition -Wpointer-arith -Wcast-qual -Wwrite-strings -Wundef
	-Wformat=2 -Wvla -Wnull-dereference -Wimplicit-fallthrough
	-Wno-gnu-statement-expression -Wno-gnu-zero-variadic-macro-arguments)
if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
	list(REMOVE_ITEM warnings -Wno-gnu-statement-expression -Wno-gnu-zero-variadic-macro-arguments)
	list(APPEND warnings -Wlogical-op -Wduplicated-cond)
endif()
if(IOT_WERROR)
	list(APPEND warnings -Werror)
endif()

add_library(iot_flags_plain INTERFACE)
target_compile_options(iot_flags_plain INTERFACE ${warnings}
	-fstack-protector-strong -fno-common -fvisibility=hidden -fPIC
	$<$<CONFIG:Release,RelWithDebInfo>:-U_FORTIFY_SOURCE$<SEMICOLON>-D_FORTIFY_SOURCE=2>)
target_compile_definitions(iot_flags_plain INTERFACE _GNU_SOURCE IOT_VERSION="${PROJECT_VERSION}")
target_include_directories(iot_flags_plain INTERFACE ${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR}/src)
target_link_options(iot_flags_plain INTERFACE -Wl,-z,relro,-z,now -Wl,--as-needed)

add_library(iot_flags INTERFACE)
target_link_libraries(iot_flags INTERFACE iot_flags_plain)
if(IOT_SANITIZE)
	target_compile_options(iot_flags INTERFACE -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer)
	target_link_options(iot_flags INTERFACE -fsanitize=address,undefined)
endif()
if(IOT_FUZZ)
	target_compile_options(iot_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
if(IOT_COVERAGE)
	target_compile_options(iot_flags INTERFACE --coverage)
	target_link_options(iot_flags INTERFACE --coverage)
endif()

# iot_layer(NAME SOURCES a.c... LINK libs... [PLAIN]): one static library per folder of src/.
# PLAIN makes a second, unsanitized copy iot_NAME_plain for the broker plugin.
function(iot_layer name)
	cmake_parse_arguments(ARG "PLAIN" "" "SOURCES;LINK" ${ARGN})
	add_library(iot_${name} STATIC ${ARG_SOURCES})
	target_link_libraries(iot_${name} PUBLIC iot_flags ${ARG_LINK})
	if(ARG_PLAIN)
		add_library(iot_${name}_plain STATIC EXCLUDE_FROM_ALL ${ARG_SOURCES})
		list(TRANSFORM ARG_LINK REPLACE "^(iot_.*)$" "\\1_plain")
		target_link_libraries(iot_${name}_plain PUBLIC iot_flags_plain ${ARG_LINK})
	endif()
endfunction()
