/*
 * Endpoints as devices see them: what is one, and whether the certificate shown
 * there is to be believed. The servers are openssl's.
 */
#include "iotctl/base.h"
#include "iotctl/cert.h"
#include "iotctl/clock.h"
#include "iotctl/endpoint.h"
#include "iotctl/process.h"
#include "unit.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

static char *dir, *root_pem, *other_pem, *middle_pem;
static struct iot_process server = IOT_PROCESS_INIT;
static int port;

static void write_pem(const char *name, const struct iot_buf *pem)
{
	IOT_CLEAN(iot_free_p) char *path = iot_path(dir, name);
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(iot_fs_write(path, 0600, pem->data, pem->len, &err), &err);
}

static char *pem_of(const struct iot_cert *cert)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf pem = IOT_BUF_INIT(IOT_CERT_PEM_MAX);

	iot_cert_pem(cert, &pem);
	return iot_strdup(iot_buf_str(&pem));
}

/* root -> issuing CA -> localhost, of which the server shows the last two. */
static void make_chain(void)
{
	static const char *const names[] = {"localhost", NULL};
	IOT_CLEAN(iot_key_free_p) struct iot_key *root_key = NULL;
	IOT_CLEAN(iot_key_free_p) struct iot_key *middle_key = NULL;
	IOT_CLEAN(iot_key_free_p) struct iot_key *key = NULL;
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *root = NULL;
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *middle = NULL;
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *other = NULL;
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *cert = NULL;
	IOT_CLEAN(iot_buf_release) struct iot_buf chain = IOT_BUF_INIT(65536), secret = IOT_BUF_SECRET(16384);
	struct iot_cert_request request = {
		.profile = IOT_PROFILE_SERVER, .common_name = "x", .dns_names = names, .days = 2};
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(iot_key_generate(IOT_KEY_P256, &root_key, &err), &err);
	ASSERT_OK(iot_key_generate(IOT_KEY_P256, &middle_key, &err), &err);
	ASSERT_OK(iot_key_generate(IOT_KEY_P256, &key, &err), &err);
	ASSERT_OK(iot_ca_create_root(root_key, "root", 10, &root, &err), &err);
	ASSERT_OK(iot_ca_create_root(key, "other", 10, &other, &err), &err);
	ASSERT_OK(iot_ca_create_intermediate(root_key, root, middle_key, "issuing", 10, &middle, &err), &err);
	request.key = key;
	ASSERT_OK(iot_cert_issue(middle_key, middle, &request, &cert, &err), &err);
	root_pem = pem_of(root);
	other_pem = pem_of(other);
	middle_pem = pem_of(middle);
	iot_cert_pem(cert, &chain);
	iot_buf_adds(&chain, middle_pem);
	write_pem("chain.pem", &chain);
	ASSERT_OK(iot_key_private_pem(key, &secret, &err), &err);
	write_pem("key.pem", &secret);
}

static void set_up(void)
{
	dir = unit_mkdtemp_memory();
	make_chain();
}

static void tear_down(void)
{
	struct iot_error err = IOT_ERROR_INIT;

	iot_process_stop(&server, 5000);
	iot_process_release(&server);
	server = (struct iot_process)IOT_PROCESS_INIT;
	ASSERT_OK(iot_fs_remove_tree(dir, &err), &err);
	free(dir);
	free(root_pem);
	free(other_pem);
	free(middle_pem);
}

static int listen_on(int *ret_port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, len) != 0 || listen(fd, 1) != 0 ||
	    getsockname(fd, (struct sockaddr *)&address, &len) != 0)
		abort();
	*ret_port = ntohs(address.sin_port);
	return fd;
}

static enum iot_status check(const char *root)
{
	struct iot_error err = IOT_ERROR_INIT;

	return iot_endpoint_check("localhost", port, root, 5000, &err);
}

/* `version`: "-tls1_2" or "-tls1_3"; it wants a certificate of its clients, as brokers do. */
static void start_server(const char *version)
{
	IOT_CLEAN(iot_free_p) char *chain = iot_path(dir, "chain.pem");
	IOT_CLEAN(iot_free_p) char *key = iot_path(dir, "key.pem");
	IOT_CLEAN(iot_free_p) char *accept = NULL;
	const char *const argv[] = {"openssl",
				    "s_server",
				    "-accept",
				    NULL,
				    "-cert",
				    chain,
				    "-key",
				    key,
				    "-Verify",
				    "1",
				    "-verify_return_error",
				    version,
				    "-quiet",
				    "-cert_chain",
				    chain,
				    NULL};
	const char *mine[IOT_LENGTH(argv)];
	const struct iot_process_options options = {.argv = mine, .die_with_parent = true};
	struct iot_error err = IOT_ERROR_INIT;
	int64_t deadline = iot_deadline(20000);

	close(listen_on(&port));
	memcpy(mine, argv, sizeof(argv));
	accept = iot_strf("127.0.0.1:%d", port);
	mine[3] = accept;
	ASSERT_OK(iot_process_start(&options, &server, &err), &err);
	while (check(root_pem) == IOT_AGAIN && iot_left(deadline) > 0)
		poll(NULL, 0, 20);
}

static void check_server(const char *version)
{
	struct iot_error err = IOT_ERROR_INIT;
	char line[512];

	start_server(version);
	/* It would not let us in, but who it is has been seen. */
	ASSERT_OK(iot_endpoint_check("localhost", port, root_pem, 5000, &err), &err);
	ASSERT_OK(iot_endpoint_check("localhost", port, middle_pem, 5000, &err), &err); /* an anchor as any */
	ASSERT_STATUS(iot_endpoint_check("localhost", port, other_pem, 5000, &err), IOT_VERIFY, &err);
	ASSERT_CONTAINS(iot_error_line(&err, line, sizeof(line)), "not to be believed");
	iot_error_clear(&err);
	ASSERT_STATUS(iot_endpoint_check("127.0.0.1", port, root_pem, 5000, &err), IOT_VERIFY, &err);
	ASSERT_CONTAINS(iot_error_line(&err, line, sizeof(line)), "IP address mismatch");
	iot_error_clear(&err);
	ASSERT_STATUS(iot_endpoint_check("localhost", port, "no PEM", 5000, &err), IOT_USAGE, &err);
}

static void test_tls_1_2(void)
{
	check_server("-tls1_2");
}

static void test_tls_1_3(void)
{
	check_server("-tls1_3");
}

static void test_nobody(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	int fd = listen_on(&port);

	/* Somebody who says nothing. */
	ASSERT_STATUS(iot_endpoint_check("localhost", port, root_pem, 200, &err), IOT_TIMEOUT, &err);
	iot_error_clear(&err);
	close(fd);
	ASSERT_STATUS(iot_endpoint_check("localhost", port, root_pem, 5000, &err), IOT_AGAIN, &err);
	iot_error_clear(&err);
	ASSERT_STATUS(iot_endpoint_check("no-such-host.invalid", port, root_pem, 5000, &err), IOT_AGAIN, &err);
}

static void test_split(void)
{
	static const struct {
		const char *text, *host; /* host NULL: it is none */
		int port;
	} rows[] = {{"a.example", "a.example", 0},
		    {"a.example:1", "a.example", 1},
		    {"[::1]:8883", "::1", 8883},
		    {"[fe80::1]", "fe80::1", 0},
		    {"127.0.0.1:65535", "127.0.0.1", 65535},
		    {"", NULL, 0},
		    {":1", NULL, 0},
		    {"a:", NULL, 0},
		    {"a:0", NULL, 0},
		    {"a:65536", NULL, 0},
		    {"a:1x", NULL, 0},
		    {"a b", NULL, 0},
		    {"a/b", NULL, 0},
		    {"mqtts://a", NULL, 0},
		    {"[::1", NULL, 0},
		    {"[]", NULL, 0},
		    {"[::1]x", NULL, 0},
		    {"0123456789abcdef", NULL, 0}};

	for (size_t i = 0; i < IOT_LENGTH(rows); i++) {
		struct iot_error err = IOT_ERROR_INIT;
		char host[16];
		int found = 0;

		ASSERT_STATUS(iot_endpoint_split(rows[i].text, host, sizeof(host), &found, &err),
			      rows[i].host != NULL ? IOT_OK : IOT_USAGE, &err);
		if (rows[i].host != NULL)
			CU_ASSERT_STRING_EQUAL(host, rows[i].host);
		CU_ASSERT_EQUAL(found, rows[i].port);
	}
}

UNIT_MAIN("transport/endpoint", set_up, tear_down, {"tls-1.2", test_tls_1_2}, {"tls-1.3", test_tls_1_3},
	  {"nobody", test_nobody}, {"split", test_split})
