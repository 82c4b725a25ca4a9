/* TCP connections, tried address by address until a deadline. */
#include "transport/dial.h"

#include "iotctl/clock.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static enum iot_status try_address(const struct addrinfo *to, int64_t deadline, int *ret_fd)
{
	int fd = socket(to->ai_family, to->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, to->ai_protocol);
	struct pollfd wait = {.fd = fd, .events = POLLOUT};
	int fault = 0, on = 1;
	socklen_t len = sizeof(fault);

	if (fd < 0)
		return IOT_AGAIN;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect(fd, to->ai_addr, to->ai_addrlen) != 0) {
		fault = errno;
		if (fault == EINPROGRESS)
			fault = poll(&wait, 1, iot_left(deadline)) != 1 ? ETIMEDOUT : 0;
		if (fault == 0 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &fault, &len) != 0)
			fault = errno;
	}
	if (fault == 0) {
		*ret_fd = fd;
		return IOT_OK;
	}
	close(fd);
	errno = fault;
	return fault == ETIMEDOUT ? IOT_TIMEOUT : IOT_AGAIN;
}

enum iot_status transport_dial(const char *host, int port, int64_t deadline, int *ret_fd, struct iot_error *err)
{
	const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	struct addrinfo *found = NULL;
	enum iot_status status = IOT_AGAIN;
	char service[8];
	int rc;

	snprintf(service, sizeof(service), "%d", port);
	rc = getaddrinfo(host, service, &hints, &found);
	if (rc != 0)
		return iot_fail(err, IOT_AGAIN, "cannot find the address of '%s': %s", host, gai_strerror(rc));
	for (const struct addrinfo *to = found; to != NULL && status != IOT_OK; to = to->ai_next)
		status = try_address(to, deadline, ret_fd);
	rc = errno;
	freeaddrinfo(found);
	return status == IOT_OK ? IOT_OK : iot_fail_errno(err, status, rc, "cannot connect to '%s:%d'", host, port);
}
