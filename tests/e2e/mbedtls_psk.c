/*
 * A TLS-PSK client on mbed TLS, as small devices have it: one suite, TLS 1.2, MQTT's CONNECT, and the answer to it.
 *
 *   mbedtls_psk PORT IDENTITY KEY-FILE SUITE CLIENT-ID
 *
 * The key is in a file IDENTITY:HEX. Prints "connected CODE" (of CONNACK), or "closed" when there was no answer, or
 * "handshake: -0xNNNN". Suites go by mbed TLS's names.
 */
#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/net_sockets.h>
#include <mbedtls/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t read_key(const char *path, unsigned char key[64])
{
	char line[400] = "";
	FILE *file = fopen(path, "r");
	const char *hex;
	size_t len = 0;

	if (file == NULL || fgets(line, sizeof(line), file) == NULL || (hex = strchr(line, ':')) == NULL)
		exit(2);
	fclose(file);
	for (hex++; len < 64 && sscanf(hex, "%2hhx", &key[len]) == 1; hex += 2)
		len++;
	return len;
}

static size_t connect_packet(const char *client_id, unsigned char out[128])
{
	static const unsigned char head[] = {0x10, 0, 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 60, 0};
	size_t len = strlen(client_id);

	if (len > 100)
		exit(2);
	memcpy(out, head, sizeof(head));
	out[1] = (unsigned char)(12 + len);
	out[13] = (unsigned char)len;
	memcpy(out + 14, client_id, len);
	return 14 + len;
}

static int talk(mbedtls_ssl_context *ssl, const char *client_id)
{
	unsigned char packet[128], answer[4] = {0};
	size_t len = connect_packet(client_id, packet), got = 0;
	int rc = mbedtls_ssl_handshake(ssl);

	if (rc != 0) {
		printf("handshake: -0x%04x\n", (unsigned)-rc);
		return 1;
	}
	rc = mbedtls_ssl_write(ssl, packet, len);
	while (rc > 0 && got < sizeof(answer) && (rc = mbedtls_ssl_read(ssl, answer + got, sizeof(answer) - got)) > 0)
		got += (size_t)rc;
	if (got == sizeof(answer) && answer[0] == 0x20)
		printf("connected %d\n", answer[3]);
	else
		puts("closed");
	return got == sizeof(answer) && answer[3] == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
	int suites[2] = {0, 0}, rc;
	unsigned char key[64];
	size_t key_len;
	mbedtls_net_context net;
	mbedtls_ssl_context ssl;
	mbedtls_ssl_config conf;
	mbedtls_entropy_context entropy;
	mbedtls_ctr_drbg_context random;

	if (argc != 6)
		return 2;
	suites[0] = mbedtls_ssl_get_ciphersuite_id(argv[4]);
	key_len = read_key(argv[3], key);
	mbedtls_net_init(&net);
	mbedtls_ssl_init(&ssl);
	mbedtls_ssl_config_init(&conf);
	mbedtls_entropy_init(&entropy);
	mbedtls_ctr_drbg_init(&random);
	rc = mbedtls_ctr_drbg_seed(&random, mbedtls_entropy_func, &entropy, NULL, 0);
	if (rc == 0)
		rc = mbedtls_net_connect(&net, "127.0.0.1", argv[1], MBEDTLS_NET_PROTO_TCP);
	if (rc == 0)
		rc = mbedtls_ssl_config_defaults(&conf, MBEDTLS_SSL_IS_CLIENT, MBEDTLS_SSL_TRANSPORT_STREAM,
						 MBEDTLS_SSL_PRESET_DEFAULT);
	mbedtls_ssl_conf_rng(&conf, mbedtls_ctr_drbg_random, &random);
	mbedtls_ssl_conf_ciphersuites(&conf, suites);
	mbedtls_ssl_conf_read_timeout(&conf, 10000);
	if (rc == 0)
		rc = mbedtls_ssl_conf_psk(&conf, key, key_len, (const unsigned char *)argv[2], strlen(argv[2]));
	if (rc == 0)
		rc = mbedtls_ssl_setup(&ssl, &conf);
	if (rc != 0) {
		fprintf(stderr, "mbed TLS: -0x%04x\n", (unsigned)-rc);
		return 2;
	}
	mbedtls_ssl_set_bio(&ssl, &net, mbedtls_net_send, mbedtls_net_recv, mbedtls_net_recv_timeout);
	rc = talk(&ssl, argv[5]);
	mbedtls_ssl_free(&ssl);
	mbedtls_ssl_config_free(&conf);
	mbedtls_net_free(&net);
	mbedtls_ctr_drbg_free(&random);
	mbedtls_entropy_free(&entropy);
	return rc;
}
