/*
 * nRF52832: 512 KiB of flash in pages of 4 KiB, written by words, with its
 * non-volatile memory controller, information registers and the user's
 * registers (Nordic, nRF52832 product specification). Access port protection
 * takes effect at a reset: then the AHB-AP is closed, and what is left is the
 * CTRL-AP ("debug and trace": RESET, ERASEALL, ERASEALLSTATUS, APPROTECTSTATUS;
 * OpenOCD's target/nrf52.cfg uses the same).
 */
#include "swdsim.h"

#include <string.h>

#define FLASH_SIZE (512U * 1024)
#define PAGE_SIZE 4096U
#define RAM_BASE 0x20000000U
#define RAM_SIZE (64U * 1024)
#define FICR 0x10000000U
#define UICR 0x10001000U
#define UICR_SIZE 0x400U
#define NVMC 0x4001e000U
#define APPROTECT 0x208U

enum { READY = 0x400, CONFIG = 0x504, ERASE_PAGE = 0x508, ERASE_ALL = 0x50c, ERASE_UICR = 0x514 };
enum { CTRL_RESET = 0x00, CTRL_ERASEALL = 0x04, CTRL_APPROTECTSTATUS = 0x0c, CTRL_IDR = 0xfc };
enum { MODE_READ, MODE_WRITE, MODE_ERASE };

static uint8_t ram[RAM_SIZE];
static uint32_t config;
static bool locked;

static void reset(void)
{
	config = MODE_READ;
	locked = (load(more + APPROTECT, 4) & 0xff) != 0xff;
}

static bool lock(const char *name)
{
	if (strcmp(name, "approtect") != 0)
		return false;
	store(more + APPROTECT, 4, 0xffffff00U);
	reset();
	return true;
}

static bool closed(void)
{
	return locked;
}

static void erase_all(void)
{
	memset(more, 0xff, UICR_SIZE);
	flash_erase(0, FLASH_SIZE);
}

static uint32_t control_read(int reg)
{
	switch (reg) {
	case CTRL_APPROTECTSTATUS:
		return locked ? 0 : 1;
	case CTRL_IDR:
		return 0x02880000;
	default:
		return 0; /* ERASEALLSTATUS among them: done */
	}
}

static void control_write(int reg, uint32_t value)
{
	if (reg == CTRL_RESET && value == 1)
		core_reset();
	else if (reg == CTRL_ERASEALL && value == 1)
		erase_all();
}

static uint32_t information(uint32_t offset)
{
	switch (offset) {
	case 0x010:
		return PAGE_SIZE;
	case 0x014:
		return FLASH_SIZE / PAGE_SIZE;
	case 0x060:
		return load(unique_id, 4);
	case 0x064:
		return load(unique_id + 4, 4);
	case 0x100:
		return 0x52832;
	case 0x104:
		return 0x41414530; /* "AAE0" */
	case 0x108:
		return 0x2000; /* QFxx package */
	case 0x10c:
		return RAM_SIZE / 1024;
	case 0x110:
		return FLASH_SIZE / 1024;
	default:
		return UINT32_MAX;
	}
}

static void write_controller(uint32_t reg, uint32_t value)
{
	if (reg == CONFIG)
		config = value & 3;
	else if (config != MODE_ERASE)
		return;
	else if (reg == ERASE_PAGE && value < FLASH_SIZE)
		flash_erase(value & ~(PAGE_SIZE - 1), PAGE_SIZE);
	else if (reg == ERASE_UICR && value == 1)
		memset(more, 0xff, UICR_SIZE);
	else if (reg == ERASE_ALL && value == 1)
		erase_all();
}

static bool write_memory(uint32_t address, int size, uint32_t value)
{
	if (address < FLASH_SIZE) {
		if (size != 4 || config != MODE_WRITE)
			return false;
		flash_program(address, 4, value);
	} else if (address >= UICR && address < UICR + UICR_SIZE) {
		if (size != 4 || config != MODE_WRITE)
			return false;
		store(more + (address - UICR), 4, load(more + (address - UICR), 4) & value);
	} else if (address >= RAM_BASE && address < RAM_BASE + RAM_SIZE) {
		store(ram + (address - RAM_BASE), size, value);
	} else if (address >= NVMC && address < NVMC + 0x1000) {
		write_controller(address - NVMC, value);
	} else {
		return address >= 0x40000000U;
	}
	return true;
}

static bool read_memory(uint32_t address, int size, uint32_t *ret)
{
	*ret = 0;
	if (address < FLASH_SIZE)
		*ret = load(flash + address, size);
	else if (address >= UICR && address < UICR + UICR_SIZE)
		*ret = load(more + (address - UICR), size);
	else if (address >= FICR && address < FICR + 0x1000)
		*ret = information((address - FICR) & ~3U) >> (address & 3) * 8;
	else if (address >= RAM_BASE && address < RAM_BASE + RAM_SIZE)
		*ret = load(ram + (address - RAM_BASE), size);
	else if (address == NVMC + READY)
		*ret = 1;
	else if (address == NVMC + CONFIG)
		*ret = config;
	else
		return address >= 0x40000000U;
	return true;
}

const struct chip chip_nrf52 = {
	.name = "nrf52",
	.dpidr = 0x2ba01477,
	.cpuid = 0x410fc241, /* Cortex-M4 r0p1 */
	.flash_size = FLASH_SIZE,
	.flash_base = 0,
	.read = read_memory,
	.write = write_memory,
	.reset = reset,
	.lock = lock,
	.closed = closed,
	.control_read = control_read,
	.control_write = control_write,
};
