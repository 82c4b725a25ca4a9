/*
 * STM32F405xG: 1 MiB of flash in sectors of 16, 64 and 128 KiB with its
 * controller, option bytes, readout and write protection, and the one-time
 * programmable area (ST RM0090, chapter 3: 3.6 programming, 3.7 registers, 3.8
 * one-time programmable bytes: 16 blocks of 32 bytes, each with a lock byte
 * that is 0xff or 0x00; nothing there can be erased). That a write to a locked
 * block sets WRPERR is how this model refuses it.
 */
#include "swdsim.h"

#include <stdlib.h>
#include <string.h>

#define FLASH_BASE 0x08000000U
#define FLASH_SIZE (1024U * 1024)
#define RAM_BASE 0x20000000U
#define RAM_SIZE (128U * 1024)
#define OTP_BASE 0x1fff7800U
#define OTP_LOCKS 512U
#define OTP_SIZE (OTP_LOCKS + 16U)
#define OTP_BLOCK 32U
#define UID_BASE 0x1fff7a10U
#define SIZE_REGISTER 0x1fff7a22U
#define IDCODE 0xe0042000U
#define IDCODE_VALUE 0x20016413U
#define CONTROLLER 0x40023c00U

enum { KEYR = 0x04, OPTKEYR = 0x08, SR = 0x0c, CR = 0x10, OPTCR = 0x14 };
#define KEY1 0x45670123U
#define KEY2 0xcdef89abU
#define OPTKEY1 0x08192a3bU
#define OPTKEY2 0x4c5d6e7fU
#define CR_PG (1U << 0)
#define CR_SER (1U << 1)
#define CR_MER (1U << 2)
#define CR_STRT (1U << 16)
#define CR_LOCK (1U << 31)
#define SR_EOP (1U << 0)
#define SR_WRPERR (1U << 4)
#define SR_PGPERR (1U << 6)
#define SR_PGSERR (1U << 7)
#define OPTCR_OPTLOCK (1U << 0)
#define OPTCR_OPTSTRT (1U << 1)
#define OPTCR_FRESH 0x0fffaaedU
enum { RDP_OPEN = 0xaa };

/* `more` in its file: the option word, and the one-time area behind it. */
enum { OTP_AT = 64 };

static uint8_t ram[RAM_SIZE];
static struct {
	uint32_t cr, sr, optcr, last_key, last_option_key;
} state;

static void reset(void)
{
	if (load(more, 4) == UINT32_MAX)
		store(more, 4, OPTCR_FRESH); /* a file that is new */
	state.cr = CR_LOCK;
	state.sr = 0;
	state.optcr = load(more, 4) | OPTCR_OPTLOCK;
}

static bool readout_protected(void)
{
	return (state.optcr >> 8 & 0xff) != RDP_OPEN;
}

static bool lock(const char *name)
{
	uint32_t options = load(more, 4);

	if (strcmp(name, "rdp1") == 0)
		options = (options & ~0xff00U) | 0x5500U;
	else if (strncmp(name, "wrp=", 4) == 0)
		options &= ~(1U << (16 + atoi(name + 4)));
	else
		return false;
	store(more, 4, options);
	reset();
	return true;
}

/* --- sectors ------------------------------------------------------------------------------- */

static unsigned sector_of(uint32_t offset)
{
	return offset < 0x10000 ? offset / 0x4000 : offset < 0x20000 ? 4 : 4 + offset / 0x20000;
}

static void erase_sector(unsigned sector)
{
	uint32_t start = sector < 4 ? sector * 0x4000 : sector == 4 ? 0x10000 : (sector - 4) * 0x20000;
	size_t size = sector < 4 ? 0x4000 : sector == 4 ? 0x10000 : 0x20000;

	if (sector > 11 || !(state.optcr >> (16 + sector) & 1))
		state.sr |= SR_WRPERR;
	else
		flash_erase(start, size);
}

static void start(void)
{
	if (state.cr & CR_SER)
		erase_sector(state.cr >> 3 & 0xf);
	else if (state.cr & CR_MER && (state.optcr >> 16 & 0xfff) == 0xfff)
		flash_erase(0, FLASH_SIZE);
	else
		state.sr |= SR_WRPERR;
	state.sr |= SR_EOP;
}

/* --- the controller ------------------------------------------------------------------------ */

static void write_options(uint32_t value)
{
	bool was_protected = readout_protected();

	if (state.optcr & OPTCR_OPTLOCK)
		return;
	state.optcr = value & ~OPTCR_OPTSTRT;
	if (!(value & OPTCR_OPTSTRT))
		return;
	store(more, 4, state.optcr & ~3U);
	power_may_fail();
	if (was_protected && !readout_protected())
		flash_erase(0, FLASH_SIZE);
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
		if (state.last_option_key == OPTKEY1 && value == OPTKEY2)
			state.optcr &= ~OPTCR_OPTLOCK;
		state.last_option_key = value;
		break;
	case SR:
		state.sr &= ~(value & 0xf3);
		break;
	case CR:
		if (state.cr & CR_LOCK)
			break;
		state.cr = value & ~CR_STRT;
		if (value & CR_STRT)
			start();
		break;
	case OPTCR:
		write_options(value);
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
	case OPTCR:
		return state.optcr;
	default:
		return 0;
	}
}

/* --- programming ----------------------------------------------------------------------------- */

static bool otp_is_locked(uint32_t offset)
{
	return offset < OTP_LOCKS && more[OTP_AT + OTP_LOCKS + offset / OTP_BLOCK] == 0x00 && !faults.soft_otp;
}

static void program_otp(uint32_t offset, int size, uint32_t value)
{
	uint8_t *at = more + OTP_AT + offset;

	if (otp_is_locked(offset)) {
		state.sr |= SR_WRPERR;
		return;
	}
	store(at, size, load(at, size) & value);
	power_may_fail();
}

/* As parallel as the controller was told, and only when it was told to. */
static bool may_program(int size)
{
	if (state.cr & CR_LOCK || !(state.cr & CR_PG)) {
		state.sr |= SR_PGSERR;
		return false;
	}
	if (1 << (state.cr >> 8 & 3) != size) {
		state.sr |= SR_PGPERR;
		return false;
	}
	state.sr |= SR_EOP;
	return true;
}

static bool write_memory(uint32_t address, int size, uint32_t value)
{
	if (address >= FLASH_BASE && address < FLASH_BASE + FLASH_SIZE) {
		if (!may_program(size))
			return true;
		if (!(state.optcr >> (16 + sector_of(address - FLASH_BASE)) & 1))
			state.sr |= SR_WRPERR;
		else
			flash_program(address - FLASH_BASE, size, value);
	} else if (address >= OTP_BASE && address < OTP_BASE + OTP_SIZE) {
		if (may_program(size))
			program_otp(address - OTP_BASE, size, value);
	} else if (address >= RAM_BASE && address < RAM_BASE + RAM_SIZE) {
		store(ram + (address - RAM_BASE), size, value);
	} else if (address >= CONTROLLER && address < CONTROLLER + 0x400) {
		write_controller(address - CONTROLLER, value);
	} else {
		return address >= 0x40000000U;
	}
	return true;
}

static bool read_memory(uint32_t address, int size, uint32_t *ret)
{
	*ret = 0;
	if (address >= FLASH_BASE && address < FLASH_BASE + FLASH_SIZE) {
		*ret = load(flash + (address - FLASH_BASE), size);
		return !readout_protected();
	}
	if (address >= OTP_BASE && address < OTP_BASE + OTP_SIZE)
		*ret = load(more + OTP_AT + (address - OTP_BASE), size);
	else if (address >= UID_BASE && address < UID_BASE + sizeof(unique_id))
		*ret = load(unique_id + (address - UID_BASE), size);
	else if (address == SIZE_REGISTER)
		*ret = FLASH_SIZE / 1024;
	else if (address >= RAM_BASE && address < RAM_BASE + RAM_SIZE)
		*ret = load(ram + (address - RAM_BASE), size);
	else if ((address & ~3U) == IDCODE)
		*ret = IDCODE_VALUE >> (address & 3) * 8;
	else if (address >= CONTROLLER && address < CONTROLLER + 0x400)
		*ret = read_controller(address - CONTROLLER);
	else
		return address >= 0x40000000U;
	return true;
}

const struct chip chip_stm32f4 = {
	.name = "stm32f4",
	.dpidr = 0x2ba01477,
	.cpuid = 0x410fc241, /* Cortex-M4 r0p1 */
	.flash_size = FLASH_SIZE,
	.flash_base = FLASH_BASE,
	.read = read_memory,
	.write = write_memory,
	.reset = reset,
	.lock = lock,
};
