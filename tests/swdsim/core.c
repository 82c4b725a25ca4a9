/*
 * What a debugger sees of a Cortex-M: it can be halted, reset into halt, its
 * registers read and written. It never executes anything.
 */
#include "swdsim.h"

#include <string.h>

#define CPUID 0xe000ed00U
#define AIRCR 0xe000ed0cU
#define DFSR 0xe000ed30U
#define DHCSR 0xe000edf0U
#define DCRSR 0xe000edf4U
#define DCRDR 0xe000edf8U
#define DEMCR 0xe000edfcU
#define FP_CTRL 0xe0002000U
#define DWT_CTRL 0xe0001000U
#define PRIVATE_FIRST 0xe0000000U
#define PRIVATE_LAST 0xe00fffffU

#define S_REGRDY (1U << 16)
#define S_HALT (1U << 17)
#define S_RESET (1U << 25)
#define XPSR_THUMB (1U << 24)

static struct {
	uint32_t control, demcr, dfsr, data;
	bool breakpoints; /* the unit is on */
	bool halted, was_reset;
	uint32_t registers[128];
} core;

void core_reset(void)
{
	core.was_reset = true;
	memset(core.registers, 0, sizeof(core.registers));
	core.registers[16] = XPSR_THUMB;
	chip->read(chip->flash_base, 4, &core.registers[13]);
	chip->read(chip->flash_base + 4, 4, &core.registers[15]);
	core.registers[15] &= ~1U;
	core.halted = (core.control & 1) && (core.demcr & 1);
	if (core.halted)
		core.dfsr |= 1U << 3;
	chip->reset();
}

static void write_register(uint32_t address, uint32_t value)
{
	switch (address) {
	case AIRCR:
		if (value >> 16 == 0x05fa && value & 1U << 2)
			core_reset();
		break;
	case DFSR:
		core.dfsr &= ~value;
		break;
	case DHCSR:
		if (value >> 16 != 0xa05f)
			break;
		core.control = value & 0xf;
		if ((value & 2) && !core.halted)
			core.dfsr |= 1;
		core.halted = (value & 3) == 3;
		break;
	case DCRSR:
		if (value & S_REGRDY)
			core.registers[value & 0x7f] = core.data;
		else
			core.data = core.registers[value & 0x7f];
		break;
	case DCRDR:
		core.data = value;
		break;
	case DEMCR:
		core.demcr = value;
		break;
	case FP_CTRL:
		if (value & 2)
			core.breakpoints = value & 1;
		break;
	default:
		break; /* comparators of breakpoints and watchpoints: nothing runs that could hit them */
	}
}

static uint32_t read_register(uint32_t address)
{
	uint32_t status;

	switch (address) {
	case CPUID:
		return chip->cpuid;
	case AIRCR:
		return 0xfa050000U;
	case DFSR:
		return core.dfsr;
	case DHCSR:
		status = core.control | S_REGRDY | (core.halted ? S_HALT : 0) | (core.was_reset ? S_RESET : 0);
		core.was_reset = false;
		return status;
	case DCRDR:
		return core.data;
	case DEMCR:
		return core.demcr;
	case FP_CTRL:
		return 0x260U | core.breakpoints; /* six comparators for code, two for literals */
	case DWT_CTRL:
		return 0x40000000U; /* four comparators */
	default:
		return 0;
	}
}

bool core_access(uint32_t address, int size, bool write, uint32_t *value, bool *ret_ok)
{
	if (address < PRIVATE_FIRST || address > PRIVATE_LAST)
		return false;
	/* The debug unit of the chip's maker is in this region too. */
	if (address >= 0xe0042000U && address < 0xe0043000U)
		return false;
	*ret_ok = true;
	if (write && size == 4)
		write_register(address, *value);
	else if (!write)
		*value = read_register(address & ~3U) >> (address & 3) * 8;
	return true;
}
