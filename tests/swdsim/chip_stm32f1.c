/*
 * STM32F100xB: 128 KiB of flash in pages of 1 KiB, written by half-words, with
 * its controller, option bytes, write and readout protection (ST PM0063,
 * RM0041). Option bytes take effect at a reset, as on the chip.
 */
#include "swdsim.h"

#include <stdlib.h>
#include <string.h>

#define FLASH_BASE 0x08000000U
#define FLASH_SIZE (128U * 1024)
#define PAGE_SIZE 1024U
#define RAM_BASE 0x20000000U
#define RAM_SIZE (8U * 1024)
#define OPTIONS_BASE 0x1ffff800U
#define OPTIONS_SIZE 16U
#define SIZE_REGISTER 0x1ffff7e0U
#define UID_BASE 0x1ffff7e8U
#define IDCODE 0xe0042000U
#define IDCODE_VALUE 0x10010420U
#define CONTROLLER 0x40022000U

enum { KEYR = 0x04, OPTKEYR = 0x08, SR = 0x0c, CR = 0x10, AR = 0x14, OBR = 0x1c, WRPR = 0x20 };
#define KEY1 0x45670123U
#define KEY2 0xcdef89abU
#define CR_PG (1U << 0)
#define CR_PER (1U << 1)
#define CR_MER (1U << 2)
#define CR_OPTPG (1U << 4)
#define CR_OPTER (1U << 5)
#define CR_STRT (1U << 6)
#define CR_LOCK (1U << 7)
#define CR_OPTWRE (1U << 9)
#define SR_PGERR (1U << 2)
#define SR_WRPRTERR (1U << 4)
#define SR_EOP (1U << 5)
#define RDP_OPEN 0xa5

static uint8_t ram[RAM_SIZE];
static struct {
	uint32_t cr, sr, ar, last_key, last_option_key;
	bool readout_protected;
	uint32_t writable; /* a bit for each four pages */
} state;

static void load_options(void)
{
	bool was = state.readout_protected;

	state.readout_protected = more[0] != RDP_OPEN || more[1] != (0xff ^ RDP_OPEN);
	state.writable = more[8] | (uint32_t)more[10] << 8 | (uint32_t)more[12] << 16 | (uint32_t)more[14] << 24;
	if (was && !state.readout_protected)
		flash_erase(0, FLASH_SIZE); /* taking the protection off costs all that it protected */
}

static void option_byte(int index, uint8_t value)
{
	more[2 * index] = value;
	more[2 * index + 1] = (uint8_t)~value;
}

static void blank_options(void)
{
	option_byte(0, RDP_OPEN);
	for (int i = 1; i < (int)OPTIONS_SIZE / 2; i++)
		option_byte(i, 0xff);
}

static void reset(void)
{
	if (more[0] == 0xff && more[1] == 0xff && more[2] == 0xff && more[8] == 0xff && more[9] == 0xff)
		blank_options(); /* a file that is new */
	state.cr = CR_LOCK;
	state.sr = 0;
	load_options();
}

static bool lock(const char *name)
{
	if (strcmp(name, "rdp1") == 0)
		option_byte(0, 0x00);
	else if (strncmp(name, "wrp=", 4) == 0)
		option_byte(4 + atoi(name + 4) / 8, (uint8_t) ~(1U << atoi(name + 4) % 8));
	else
		return false;
	load_options();
	return true;
}

static bool is_protected(uint32_t offset)
{
	return !(state.writable >> (offset / PAGE_SIZE / 4) & 1);
}

static void start(void)
{
	if (state.cr & CR_OPTER && state.cr & CR_OPTWRE) {
		memset(more, 0xff, OPTIONS_SIZE);
	} else if (state.cr & CR_PER) {
		if (is_protected(state.ar - FLASH_BASE))
			state.sr |= SR_WRPRTERR;
		else
			flash_erase((state.ar - FLASH_BASE) & ~(PAGE_SIZE - 1), PAGE_SIZE);
	} else if (state.cr & CR_MER) {
		if (state.writable != UINT32_MAX)
			state.sr |= SR_WRPRTERR;
		else
			flash_erase(0, FLASH_SIZE);
	}
	state.sr |= SR_EOP;
}

static void write_controller(uint32_t reg, uint32_t value)
{
	switch (reg) {
	case KEYR:
		if (state.last_key == KEY1 && value == KEY2)
			state.cr &= ~CR_LOCK;
		state.last_key = value;
		break;
	case OPTKEYR:
		if (state.last_option_key == KEY1 && value == KEY2)
			state.cr |= CR_OPTWRE;
		state.last_option_key = value;
		break;
	case SR:
		state.sr &= ~(value & (SR_PGERR | SR_WRPRTERR | SR_EOP));
		break;
	case CR:
		if (state.cr & CR_LOCK)
			break;
		state.cr = (value & ~(CR_STRT | CR_OPTWRE)) | (state.cr & value & CR_OPTWRE);
		if (value & CR_STRT)
			start();
		break;
	case AR:
		state.ar = value;
		break;
	default:
		break;
	}
}

static uint32_t read_controller(uint32_t reg)
{
	switch (reg) {
	case SR:
		return state.sr;
	case CR:
		return state.cr;
	case AR:
		return state.ar;
	case OBR:
		return (state.readout_protected ? 2U : 0) | (uint32_t)(more[2] & 7) << 2 | (uint32_t)more[4] << 10 |
		       (uint32_t)more[6] << 18;
	case WRPR:
		return state.writable;
	default:
		return 0;
	}
}

/* Only half-words, only with the right bit set, only into what is erased. */
static bool program(uint32_t offset, int size, uint32_t value)
{
	if (size != 2 || !(state.cr & CR_PG))
		return false;
	if (is_protected(offset))
		state.sr |= SR_WRPRTERR;
	else if (load(flash + offset, 2) != 0xffff && value != 0)
		state.sr |= SR_PGERR;
	else
		flash_program(offset, 2, value);
	state.sr |= SR_EOP;
	return true;
}

static bool program_option(uint32_t offset, int size, uint32_t value)
{
	if (size != 2 || !(state.cr & CR_OPTPG) || !(state.cr & CR_OPTWRE) || offset % 2 != 0)
		return false;
	option_byte((int)offset / 2, (uint8_t)value); /* the complement is the controller's business */
	state.sr |= SR_EOP;
	return true;
}

static bool write_memory(uint32_t address, int size, uint32_t value)
{
	if (address >= FLASH_BASE && address < FLASH_BASE + FLASH_SIZE)
		return program(address - FLASH_BASE, size, value);
	if (address >= OPTIONS_BASE && address < OPTIONS_BASE + OPTIONS_SIZE)
		return program_option(address - OPTIONS_BASE, size, value);
	if (address >= RAM_BASE && address < RAM_BASE + RAM_SIZE)
		store(ram + (address - RAM_BASE), size, value);
	else if (address >= CONTROLLER && address < CONTROLLER + 0x400)
		write_controller(address - CONTROLLER, value);
	else
		return address >= 0x40000000U;
	return true;
}

static bool read_memory(uint32_t address, int size, uint32_t *ret)
{
	uint8_t words[4] = {FLASH_SIZE / 1024 & 0xff, FLASH_SIZE / 1024 >> 8, 0xff, 0xff};

	*ret = 0;
	if (address >= FLASH_BASE && address < FLASH_BASE + FLASH_SIZE) {
		*ret = load(flash + (address - FLASH_BASE), size);
		return !state.readout_protected;
	}
	if (address >= RAM_BASE && address < RAM_BASE + RAM_SIZE)
		*ret = load(ram + (address - RAM_BASE), size);
	else if (address >= OPTIONS_BASE && address < OPTIONS_BASE + OPTIONS_SIZE)
		*ret = load(more + (address - OPTIONS_BASE), size);
	else if (address >= SIZE_REGISTER && address < SIZE_REGISTER + 4)
		*ret = load(words + (address - SIZE_REGISTER), size);
	else if (address >= UID_BASE && address < UID_BASE + sizeof(unique_id))
		*ret = load(unique_id + (address - UID_BASE), size);
	else if ((address & ~3U) == IDCODE)
		*ret = IDCODE_VALUE >> (address & 3) * 8;
	else if (address >= CONTROLLER && address < CONTROLLER + 0x400)
		*ret = read_controller(address - CONTROLLER);
	else
		return address >= 0x40000000U;
	return true;
}

const struct chip chip_stm32f1 = {
	.name = "stm32f1",
	.dpidr = 0x1ba01477,
	.cpuid = 0x411fc231, /* Cortex-M3 r1p1 */
	.flash_size = FLASH_SIZE,
	.flash_base = FLASH_BASE,
	.read = read_memory,
	.write = write_memory,
	.reset = reset,
	.lock = lock,
};
