/*
 * An independent client of the gateway: mbed TLS, as small devices have it.
 *
 *   psk_client PORT IDENTITY KEY-HEX SUITE [BYTES-HEX]
 *
 * Shakes hands with one suite, prints it, sends the bytes if there are any, and prints what comes, in hex, until the
 * connection ends or two seconds have passed. Exit code 1 when the handshake fails.
 */
#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/net_sockets.h>
#include <mbedtls/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t unhex(const char *text, unsigned char *out, size_t max)
{
	size_t len = 0;

	for (; text[2 * len] != '\0' && len < max; len++) {
		char pair[3] = {text[2 * len], text[2 * len + 1], '\0'};

		out[len] = (unsigned char)strtoul(pair, NULL, 16);
	}
	return len;
}

struct client {
	mbedtls_entropy_context entropy;
	mbedtls_ctr_drbg_context random;
	mbedtls_ssl_config config;
	mbedtls_ssl_context ssl;
	mbedtls_net_context net;
	int suites[2];
};

static int set_up(struct client *c, char **argv)
{
	static unsigned char key[64];
	size_t len = unhex(argv[3], key, sizeof(key));

	c->suites[0] = mbedtls_ssl_get_ciphersuite_id(argv[4]);
	if (c->suites[0] == 0 || mbedtls_ctr_drbg_seed(&c->random, mbedtls_entropy_func, &c->entropy, NULL, 0) != 0 ||
	    mbedtls_ssl_config_defaults(&c->config, MBEDTLS_SSL_IS_CLIENT, MBEDTLS_SSL_TRANSPORT_STREAM,
					MBEDTLS_SSL_PRESET_DEFAULT) != 0 ||
	    mbedtls_ssl_conf_psk(&c->config, key, len, (const unsigned char *)argv[2], strlen(argv[2])) != 0)
		return 2;
	mbedtls_ssl_conf_rng(&c->config, mbedtls_ctr_drbg_random, &c->random);
	mbedtls_ssl_conf_ciphersuites(&c->config, c->suites);
	mbedtls_ssl_conf_read_timeout(&c->config, 2000);
	if (mbedtls_ssl_setup(&c->ssl, &c->config) != 0 ||
	    mbedtls_net_connect(&c->net, "127.0.0.1", argv[1], MBEDTLS_NET_PROTO_TCP) != 0)
		return 2;
	mbedtls_ssl_set_bio(&c->ssl, &c->net, mbedtls_net_send, mbedtls_net_recv, mbedtls_net_recv_timeout);
	return 0;
}

static int talk(struct client *c, const char *hex)
{
	static unsigned char bytes[8192], buffer[8192];
	int rc = mbedtls_ssl_handshake(&c->ssl);

	if (rc != 0) {
		printf("handshake -0x%04x\n", (unsigned)-rc);
		return 1;
	}
	printf("%s\n", mbedtls_ssl_get_ciphersuite(&c->ssl));
	if (hex != NULL)
		(void)mbedtls_ssl_write(&c->ssl, bytes, unhex(hex, bytes, sizeof(bytes)));
	while ((rc = mbedtls_ssl_read(&c->ssl, buffer, sizeof(buffer))) > 0) {
		for (int i = 0; i < rc; i++)
			printf("%02x", buffer[i]);
		printf("\n");
	}
	printf("end\n");
	return 0;
}

int main(int argc, char **argv)
{
	static struct client client;
	int rc;

	if (argc < 5)
		return 2;
	mbedtls_entropy_init(&client.entropy);
	mbedtls_ctr_drbg_init(&client.random);
	mbedtls_ssl_config_init(&client.config);
	mbedtls_ssl_init(&client.ssl);
	mbedtls_net_init(&client.net);
	rc = set_up(&client, argv);
	if (rc == 0)
		rc = talk(&client, argc > 5 ? argv[5] : NULL);
	mbedtls_ssl_free(&client.ssl);
	mbedtls_net_free(&client.net);
	mbedtls_ssl_config_free(&client.config);
	mbedtls_ctr_drbg_free(&client.random);
	mbedtls_entropy_free(&client.entropy);
	return rc;
}
