/*
 * Serial wire debug at the level of clock edges. The target samples SWDIO on a
 * rising edge and changes what it drives after one, so a packet is, counted in
 * edges after the eight of the request:
 *
 *   1..3    the acknowledgement appears (bit 0 after edge 1)
 *   read:   4..35 the data appears, 36 its parity; 37 and 38 pass the line back
 *   write:  4 and 5 pass the line; 6..37 the data is sampled, 38 its parity
 *
 * Fifty ones in a row reset the line from any state. A request that is no
 * request locks the target up until then.
 */
#include "swdsim.h"

enum state { LOCKED, IDLE, REQUEST, ACKNOWLEDGE, READ, WRITE };
enum {
	RESET_ONES = 50,
	REQUEST_BITS = 8,
	ACK_END = 3,
	READ_FIRST = 4,
	READ_PARITY = 36,
	READ_END = 38,
	WRITE_FIRST = 6,
	WRITE_PARITY = 38,
	REFUSED_END = 5
};

static struct {
	enum state state;
	int ones;      /* in a row */
	int edge;      /* of this state */
	unsigned bits; /* of the request */
	bool ap, read;
	int address, ack;
	uint32_t data;
	bool parity; /* of the data that goes by */
} wire = {.state = LOCKED};

static int out(bool level)
{
	return faults.dead ? 1 : level;
}

static bool request_is_good(unsigned bits)
{
	bool parity = (bits >> 1 & 1) ^ (bits >> 2 & 1) ^ (bits >> 3 & 1) ^ (bits >> 4 & 1);

	return (bits & 1) && parity == (bits >> 5 & 1) && !(bits >> 6 & 1) && (bits >> 7 & 1);
}

static void take_request(void)
{
	if (faults.dead || !request_is_good(wire.bits)) {
		wire.state = LOCKED;
		return;
	}
	wire.ap = wire.bits >> 1 & 1;
	wire.read = wire.bits >> 2 & 1;
	wire.address = (int)(wire.bits >> 3 & 3) << 2;
	wire.ack = port_request(wire.ap, wire.read, wire.address, &wire.data);
	wire.state = ACKNOWLEDGE;
	wire.edge = 0;
}

/* With overrun detection the host always clocks the data, wanted or not. */
static void after_acknowledge(void)
{
	if (wire.ack == ACK_OK || port_overrun_detection())
		wire.state = wire.read ? READ : WRITE;
	wire.parity = false;
}

static int drive_data(void)
{
	static int reads;
	bool bit;

	if (wire.edge >= READ_END) {
		wire.state = IDLE;
		return 1;
	}
	if (wire.edge > READ_PARITY)
		return 1;
	if (wire.edge == READ_PARITY) {
		reads++;
		return out(wire.parity != (faults.bad_parity > 0 && reads % faults.bad_parity == 0));
	}
	bit = wire.data >> (wire.edge - READ_FIRST) & 1;
	wire.parity ^= bit;
	return out(bit);
}

static void sample_data(int level)
{
	if (wire.edge < WRITE_FIRST)
		return;
	if (wire.edge == WRITE_FIRST)
		wire.data = 0;
	if (wire.edge < WRITE_PARITY) {
		wire.data |= (uint32_t)level << (wire.edge - WRITE_FIRST);
		wire.parity ^= level != 0;
		return;
	}
	wire.state = IDLE;
	if (wire.ack != ACK_OK)
		return;
	if (wire.parity != (level != 0))
		port_write_error();
	else
		port_write(wire.ap, wire.address, wire.data);
}

static bool is_reset(int level)
{
	wire.ones = level ? wire.ones + 1 : 0;
	if (wire.ones < RESET_ONES)
		return false;
	wire.state = IDLE;
	port_line_reset();
	return true;
}

int wire_edge(int level)
{
	bool target_drives = (wire.state == ACKNOWLEDGE || wire.state == READ) && wire.edge > 0;

	if (!target_drives && is_reset(level))
		return 1;
	wire.edge++;
	switch (wire.state) {
	case LOCKED:
		return 1;
	case IDLE:
		if (level) {
			wire.state = REQUEST;
			wire.edge = 1;
			wire.bits = 1;
		}
		return 1;
	case REQUEST:
		wire.bits |= (unsigned)level << (wire.edge - 1);
		if (wire.edge == REQUEST_BITS)
			take_request();
		return 1;
	case ACKNOWLEDGE:
		if (wire.edge == ACK_END)
			after_acknowledge();
		else if (wire.edge == REFUSED_END)
			wire.state = IDLE;
		return wire.edge <= ACK_END ? out(wire.ack >> (wire.edge - 1) & 1) : 1;
	case READ:
		return drive_data();
	case WRITE:
		sample_data(level);
		return 1;
	}
	return 1;
}
