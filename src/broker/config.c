/*
 * mosquitto.conf(5) for a fleet. The file's format knows no quotes: a value goes
 * to the end of its line, blanks at either end are dropped. So a path may contain
 * blanks, but not begin or end with one, nor contain a line break.
 */
#include "broker/serve_private.h"

#include "iotctl/base.h"
#include "iotctl/fs.h"
#include "iotctl/seal.h"
#include "iotctl/topic.h"

#include <ctype.h>
#include <inttypes.h>
#include <pwd.h>
#include <string.h>
#include <unistd.h>

/*
 * DEFAULT has none of the CCM suites that the smallest devices have alone, PSK has some that need a certificate. Those
 * of TLS 1.3 all go with SHA-256, as a secret does there: so none is ever passed over in favour of a ticket.
 */
#define PSK_SUITES                                                                                                     \
	"ECDHE-PSK-CHACHA20-POLY1305:ECDHE-PSK-AES128-CBC-SHA256:PSK-AES128-GCM-SHA256:PSK-AES128-CCM:PSK-AES128-CCM8"
#define PSK_SUITES_13 "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_CCM_SHA256"

#define CONFIG_MAX 65536
/* Of a whole packet: the largest payload, its topic and client id, properties and heads. */
#define PACKET_MAX (IOT_TOPIC_PAYLOAD_MAX + 4096)

static enum iot_status put(struct iot_buf *out, const char *key, const char *value, struct iot_error *err)
{
	size_t len = strlen(value);

	if (len == 0 || isspace((unsigned char)value[0]) || isspace((unsigned char)value[len - 1]) || value[0] == '#')
		return iot_fail(err, IOT_SETTINGS, "mosquitto's configuration cannot hold the path '%s'", value);
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)value[i] < ' ')
			return iot_fail(err, IOT_SETTINGS, "mosquitto's configuration cannot hold the path '%s'",
					value);
	iot_buf_addf(out, "%s %s\n", key, value);
	return IOT_OK;
}

/* mosquitto started by root becomes another user unless told otherwise; started by anybody else it stays. */
static void put_user(struct iot_buf *out)
{
	const struct passwd *user = getpwuid(geteuid());

	if (geteuid() == 0)
		iot_buf_adds(out, "user root\n");
	else if (user != NULL)
		iot_buf_addf(out, "user %s\n", user->pw_name);
}

static void put_limits(struct iot_buf *out)
{
	iot_buf_addf(out, "max_packet_size %d\n", PACKET_MAX);
	iot_buf_adds(out, "max_inflight_messages 100\n"
			  "max_queued_messages 3000\n"
			  "max_keepalive 1200\n"
			  "sys_interval 0\n"
			  "set_tcp_nodelay true\n");
}

static enum iot_status put_files(const struct serve_setup *setup, struct iot_buf *out, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *folder = iot_strf("%s/", setup->paths.broker_dir);
	IOT_CLEAN(iot_free_p) char *log = iot_strf("file %s", setup->log);
	enum iot_status status;

	/* Nothing in staging must outlive a connection: who comes again is told again. */
	if (setup->is_staging)
		iot_buf_adds(out, "persistence false\n");
	else
		iot_buf_adds(out, "persistence true\n"
				  "persistence_file mosquitto.db\n"
				  "autosave_interval 300\n");
	status = setup->is_staging ? IOT_OK : put(out, "persistence_location", folder, err);
	if (status == IOT_OK)
		status = put(out, "log_dest", log, err);
	iot_buf_adds(out, "log_type error\n"
			  "log_type warning\n"
			  "log_type notice\n"
			  "log_timestamp_format %Y-%m-%dT%H:%M:%S\n"
			  "connection_messages true\n");
	return status;
}

static enum iot_status put_plugin(const struct serve_setup *setup, struct iot_buf *out, struct iot_error *err)
{
	enum iot_status status = put(out, "plugin", setup->plugin, err);

	if (status == IOT_OK)
		status = put(out, "plugin_opt_" IOT_PLUGIN_OPT_REGISTRY, setup->paths.registry, err);
	if (status == IOT_OK)
		status = put(out, "plugin_opt_" IOT_PLUGIN_OPT_ADMIN_SOCKET, setup->paths.admin_socket, err);
	if (setup->is_staging)
		iot_buf_adds(out, "plugin_opt_" IOT_PLUGIN_OPT_ROLE " staging\n");
	if (status == IOT_OK && setup->psk_port > 0) {
		IOT_CLEAN(iot_free_p) char *seal = iot_path(setup->paths.dir, IOT_SEAL_KEY_FILE);

		status = put(out, "plugin_opt_" IOT_PLUGIN_OPT_SEALING_KEY, seal, err);
	}
	if (status == IOT_OK && setup->jwt_port > 0) {
		status = put(out, "plugin_opt_" IOT_PLUGIN_OPT_PROJECT, setup->project, err);
		iot_buf_addf(out, "plugin_opt_" IOT_PLUGIN_OPT_TOKEN_SKEW " %" PRId64 "\n", setup->token_skew);
	}
	return status;
}

static enum iot_status put_server(const struct serve_setup *setup, int port, struct iot_buf *out, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *cert = iot_path(setup->paths.ca_dir, "server.pem");
	IOT_CLEAN(iot_free_p) char *key = iot_path(setup->paths.ca_dir, "server.key");
	enum iot_status status;

	iot_buf_addf(out, "listener %d %s\n", port, setup->listen);
	status = put(out, "certfile", cert, err);
	if (status == IOT_OK)
		status = put(out, "keyfile", key, err);
	iot_buf_adds(out, "tls_version tlsv1.2\n"); /* and newer */
	return status;
}

/* Neither user names nor certificates count there, only that the plugin has handed out a key. */
static void put_psk(const struct serve_setup *setup, struct iot_buf *out)
{
	iot_buf_addf(out, "listener %d %s\n", setup->psk_port, setup->listen);
	iot_buf_adds(out, "psk_hint iotctl\n"
			  "tls_version tlsv1.2\n"
			  "ciphers " PSK_SUITES "\n"
			  "ciphers_tls1.3 " PSK_SUITES_13 "\n");
}

static enum iot_status put_listeners(const struct serve_setup *setup, struct iot_buf *out, struct iot_error *err)
{
	enum iot_status status = put(out, "listener 0", setup->paths.admin_socket, err);

	if (status == IOT_OK)
		status = put_server(setup, setup->port, out, err);
	if (status == IOT_OK)
		status = put(out, "capath", setup->paths.trust_dir, err);
	iot_buf_adds(out, "require_certificate true\n");
	if (status == IOT_OK && setup->jwt_port > 0) {
		status = put_server(setup, setup->jwt_port, out, err);
		iot_buf_adds(out, "max_qos 1\n"); /* as Google's bridge: a publish of more ends the connection */
	}
	if (status == IOT_OK && setup->psk_port > 0)
		put_psk(setup, out);
	return status;
}

enum iot_status serve_config_text(const struct serve_setup *setup, struct iot_buf *out, struct iot_error *err)
{
	enum iot_status status;

	iot_buf_adds(out, "# Written by 'iotctl serve' whenever it starts: changes are lost.\n"
			  "per_listener_settings false\n"
			  "allow_anonymous false\n");
	put_user(out);
	put_limits(out);
	status = put_files(setup, out, err);
	if (status == IOT_OK)
		status = put_plugin(setup, out, err);
	if (status == IOT_OK)
		status = put_listeners(setup, out, err);
	if (status == IOT_OK)
		status = iot_buf_check(out, "mosquitto.conf", err);
	return status;
}

enum iot_status serve_config_write(const struct serve_setup *setup, struct iot_error *err)
{
	struct iot_buf text = IOT_BUF_INIT(CONFIG_MAX);
	enum iot_status status = serve_config_text(setup, &text, err);

	if (status == IOT_OK)
		status = iot_fs_write(setup->config, 0600, text.data, text.len, err);
	iot_buf_release(&text);
	return status;
}
