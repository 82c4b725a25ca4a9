/*
 * The Bus Pirate's binary mode, as far as OpenOCD's driver uses it: twenty
 * zeros bring "BBIO1", then 5 the raw-wire mode "RAW1" (Bus Pirate documentation,
 * "raw-wire binary access mode"). Every command is answered with a byte.
 */
#include "swdsim.h"

enum { TEXT_MODE, BIT_BANG, RAW_WIRE };
enum {
	RAW_EXIT = 0x00,
	RAW_VERSION = 0x01,
	RAW_CS = 0x04,
	RAW_CS_HIGH = 0x05,
	RAW_READ_BYTE = 0x06,
	RAW_READ_BIT = 0x07,
	RAW_PEEK = 0x08,
	RAW_TICK = 0x09,
	RAW_CLOCK_LOW = 0x0a,
	RAW_CLOCK_HIGH = 0x0b,
	RAW_DATA_LOW = 0x0c,
	RAW_DATA_HIGH = 0x0d
};
enum { ZEROS_FOR_BINARY = 20, ENTER_RAW_WIRE = 5 };

#define PERIPHERALS 0x40
#define AUX_PIN 0x02 /* wired to the target's reset, which is active low */

static int mode = TEXT_MODE, zeros, pending, level = 1, line = 1;
static bool held_in_reset;

static void send_text(const char *text)
{
	while (*text != '\0')
		buspirate_send((uint8_t)*text++);
}

static void edge(int drives)
{
	line = wire_edge(drives);
}

static void write_bits(uint8_t byte, int count)
{
	for (int i = 0; i < count; i++) {
		level = byte >> i & 1;
		edge(level);
	}
}

/* The adapter lets go of the line to listen: it is pulled up, and stays an input until it drives again. */
static uint8_t read_bits(int count)
{
	uint8_t byte = 0;

	level = 1;
	for (int i = 0; i < count; i++) {
		edge(1);
		byte |= (uint8_t)(line << i);
	}
	return byte;
}

static void set_peripherals(uint8_t command)
{
	bool hold = !(command & AUX_PIN);

	if (held_in_reset && !hold)
		core_reset();
	held_in_reset = hold;
}

static void raw_wire(uint8_t command)
{
	switch (command & 0xf0) {
	case 0x10:
		pending = (command & 0xf) + 1;
		break;
	case 0x20:
		for (int i = 0; i <= (command & 0xf); i++)
			edge(level);
		break;
	case PERIPHERALS:
		set_peripherals(command);
		break;
	case 0x00:
		if (command == RAW_EXIT) {
			mode = BIT_BANG;
			send_text("BBIO1");
			return;
		}
		if (command == RAW_VERSION) {
			send_text("RAW1");
			return;
		}
		if (command == RAW_READ_BYTE || command == RAW_READ_BIT) {
			buspirate_send(read_bits(command == RAW_READ_BYTE ? 8 : 1));
			return;
		}
		if (command == RAW_PEEK) {
			buspirate_send((uint8_t)line);
			return;
		}
		if (command == RAW_TICK)
			edge(level);
		else if (command == RAW_DATA_LOW || command == RAW_DATA_HIGH)
			level = command & 1;
		break;
	default:
		break; /* speed, kind of pins: accepted */
	}
	buspirate_send(1);
}

void buspirate_byte(uint8_t byte)
{
	if (mode == RAW_WIRE && pending > 0) {
		pending--;
		write_bits(byte, 8);
		buspirate_send(1);
		return;
	}
	zeros = byte == 0 ? zeros + 1 : 0;
	if (mode == TEXT_MODE) {
		if (zeros < ZEROS_FOR_BINARY)
			return;
		mode = BIT_BANG;
		send_text("BBIO1");
	} else if (mode == BIT_BANG) {
		if (byte == ENTER_RAW_WIRE) {
			mode = RAW_WIRE;
			send_text("RAW1");
		} else if (byte == 0x0f) {
			mode = TEXT_MODE; /* a reset of the adapter */
			zeros = 0;
			buspirate_send(1);
		} else if (byte == 0) { /* each: whoever sent some before may have been killed since */
			send_text("BBIO1");
		}
	} else {
		raw_wire(byte);
	}
}
