/*
 * A microcontroller on the end of a Bus Pirate, as OpenOCD sees it through a
 * pseudo-terminal. From the outside in:
 *
 *   buspirate.c  bytes of the Bus Pirate's binary mode -> clock edges and levels
 *   wire.c       edges -> SWD packets (ARM IHI 0031, serial wire debug port)
 *   port.c       packets -> debug port and MEM-AP registers -> reads and writes of memory
 *   core.c       debug registers of a Cortex-M (ARMv7-M, part C): halt, run, reset, core registers
 *   chip_*.c     flash, its controller, ids, locks
 *
 * There is no processor: nothing is executed. What was programmed is in a file,
 * from which QEMU can boot.
 */
#ifndef SWDSIM_H
#define SWDSIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* --- faults, chosen on the command line -------------------------------------------------- */

struct faults {
	bool dead;      /* the target never answers: SWDIO stays high */
	uint32_t dpidr; /* another id than the model's; 0: its own */
	int bad_parity; /* every Nth read has a wrong parity bit; 0: none */
	int wait;       /* every Nth access to memory is answered with WAIT; 0: none */
	bool has_stuck; /* this bit of flash cannot be erased or programmed to anything but 0 */
	uint32_t stuck_at;
	uint8_t stuck_mask;
	long silent_after;     /* the adapter says nothing any more after so many bytes; 0: never */
	long lose_power_after; /* the program ends after so many flash writes, leaving the file as it is; 0: never */
	bool soft_otp;         /* what was locked for ever takes a write all the same */
};
extern struct faults faults;

/* --- a chip ------------------------------------------------------------------------------- */

struct chip {
	const char *name;
	uint32_t dpidr, cpuid;
	size_t flash_size;
	uint32_t flash_base;
	/* Memory beyond core.c's. False: bus fault. `size` is 1, 2 or 4 and the address is aligned to it. */
	bool (*read)(uint32_t address, int size, uint32_t *ret);
	bool (*write)(uint32_t address, int size, uint32_t value);
	void (*reset)(void);
	/* A lock put on before the test ("rdp1", "wrp=31"). False: this chip has none of that name. */
	bool (*lock)(const char *name);
	/* The memory's access port is closed: nothing behind it answers, not even the core. NULL: it never is. */
	bool (*closed)(void);
	/* The maker's own access port, number 1. NULL: there is none. */
	uint32_t (*control_read)(int reg);
	void (*control_write)(int reg, uint32_t value);
};
extern const struct chip chip_stm32f1, chip_stm32f4, chip_nrf52;
extern const struct chip *chip;
extern uint8_t *flash; /* the file, mapped */
extern uint8_t *more;  /* option bytes or user registers, in a file beside it */
extern uint8_t unique_id[12];

/* Little-endian bytes. */
uint32_t load(const uint8_t *at, int size);
void store(uint8_t *at, int size, uint32_t value);
/* The cells of flash as they take a write: bits only go to 0, and a stuck bit has its own mind. */
void flash_program(uint32_t offset, int size, uint32_t value);
void flash_erase(uint32_t offset, size_t size);
/* Something was written: the fault "lose-power-after" counts it. */
void power_may_fail(void);

/* --- the layers ------------------------------------------------------------------------------ */

/* core.c: true if the address is one of the core's own; *ret_ok false: bus fault. */
bool core_access(uint32_t address, int size, bool write, uint32_t *value, bool *ret_ok);
void core_reset(void);

/* port.c: one transfer. Returns the acknowledgement (1 OK, 2 WAIT, 4 FAULT). */
enum { ACK_OK = 1, ACK_WAIT = 2, ACK_FAULT = 4 };
int port_request(bool ap, bool read, int address, uint32_t *ret_data);
void port_write(bool ap, int address, uint32_t data);
void port_write_error(void); /* the data of a write had a wrong parity */
bool port_overrun_detection(void);
void port_line_reset(void);

/* wire.c: one rising edge of SWCLK. `level` is what the adapter drives, or 1 where it listens. Returns SWDIO after it.
 */
int wire_edge(int level);

/* buspirate.c: a byte from the host; answers go to buspirate_send. */
void buspirate_byte(uint8_t byte);
void buspirate_send(uint8_t byte); /* main.c */

#endif
