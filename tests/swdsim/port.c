/*
 * The debug port (DPIDR, ABORT, CTRL/STAT, SELECT, RDBUFF) and one MEM-AP
 * behind it, with the maker's own access port beside it where there is one. Reads of the access port are posted: what
 * they fetch comes with the next read or from RDBUFF. A bus fault is sticky and everything but ABORT and reads of DPIDR
 * and CTRL/STAT is then answered with FAULT.
 */
#include "swdsim.h"

enum { DP_ABORT = 0, DP_DPIDR = 0, DP_CTRL_STAT = 4, DP_SELECT = 8, DP_RDBUFF = 12 };
enum { AP_CSW = 0x00, AP_TAR = 0x04, AP_DRW = 0x0c, AP_BD0 = 0x10, AP_BD3 = 0x1c, AP_BASE = 0xf8, AP_IDR = 0xfc };

#define MEM_AP_IDR 0x24770011U
#define ROM_TABLE 0xe00ff003U
#define ORUNDETECT (1U << 0)
#define STICKYERR (1U << 5)
#define WDATAERR (1U << 7)
#define POWER_REQUESTS 0x50000000U
#define CSW_FIXED 0x03000040U /* as an AHB-AP says it: enabled, privileged */

static struct {
	uint32_t ctrl_stat, select, read_buffer;
	uint32_t csw, tar;
	int memory_accesses;
} port;

/* Core and chip in one address space. */
static bool memory(uint32_t address, int size, bool write, uint32_t *value)
{
	bool ok = true;

	if (address % (uint32_t)size != 0 || (chip->closed != NULL && chip->closed()))
		return false;
	if (core_access(address, size, write, value, &ok))
		return ok;
	return write ? chip->write(address, size, *value) : chip->read(address, size, value);
}

/* One element through DRW: it travels in the byte lanes of its address, and TAR moves on. */
static bool element(bool write, uint32_t *data)
{
	int size = 1 << (port.csw & 3);
	int lane = (int)(port.tar & 3) * 8;
	uint32_t mask = size == 4 ? UINT32_MAX : (1U << (8 * size)) - 1;
	uint32_t value = write ? *data >> lane & mask : 0;
	bool ok = memory(port.tar, size, write, &value);

	if (!write)
		*data = (*data & ~(mask << lane)) | (value & mask) << lane;
	if (port.csw & 0x30)
		port.tar = (port.tar & ~0xfffU) | ((port.tar + (uint32_t)size) & 0xfff);
	return ok;
}

/* Packed transfers carry a word's worth of smaller elements. */
static bool transfer(bool write, uint32_t *data)
{
	int count = (port.csw & 0x30) == 0x20 ? 4 >> (port.csw & 3) : 1;
	bool ok = true;

	if (!write)
		*data = 0;
	for (int i = 0; i < count; i++)
		ok &= element(write, data);
	return ok;
}

static bool ap_read(int reg, uint32_t *ret)
{
	*ret = 0;
	if (port.select >> 24 == 1 && chip->control_read != NULL)
		*ret = chip->control_read(reg);
	if (port.select >> 24 != 0)
		return true; /* no such access port: its registers are zero */
	switch (reg) {
	case AP_CSW:
		*ret = port.csw | CSW_FIXED;
		return true;
	case AP_TAR:
		*ret = port.tar;
		return true;
	case AP_DRW:
		return transfer(false, ret);
	case AP_BASE:
		*ret = ROM_TABLE;
		return true;
	case AP_IDR:
		*ret = MEM_AP_IDR;
		return true;
	default:
		if (reg >= AP_BD0 && reg <= AP_BD3)
			return memory((port.tar & ~0xfU) + (uint32_t)(reg - AP_BD0), 4, false, ret);
		return true;
	}
}

static bool ap_write(int reg, uint32_t data)
{
	if (port.select >> 24 == 1 && chip->control_write != NULL)
		chip->control_write(reg, data);
	if (port.select >> 24 != 0)
		return true;
	switch (reg) {
	case AP_CSW:
		port.csw = data;
		return true;
	case AP_TAR:
		port.tar = data;
		return true;
	case AP_DRW:
		return transfer(true, &data);
	default:
		if (reg >= AP_BD0 && reg <= AP_BD3)
			return memory((port.tar & ~0xfU) + (uint32_t)(reg - AP_BD0), 4, true, &data);
		return true;
	}
}

static int ap_register(int address)
{
	return (int)(port.select & 0xf0) | address;
}

static uint32_t dp_read(int address)
{
	switch (address) {
	case DP_DPIDR:
		return faults.dpidr != 0 ? faults.dpidr : chip->dpidr;
	case DP_CTRL_STAT:
		return (port.select & 0xf) == 0 ? port.ctrl_stat | (port.ctrl_stat & POWER_REQUESTS) << 1 : 0x40;
	default:
		return port.read_buffer;
	}
}

int port_request(bool ap, bool read, int address, uint32_t *ret_data)
{
	bool always =
		!ap && ((read && (address == DP_DPIDR || address == DP_CTRL_STAT)) || (!read && address == DP_ABORT));

	if (port.ctrl_stat & (STICKYERR | WDATAERR) && !always)
		return ACK_FAULT;
	if (ap && faults.wait > 0 && ap_register(address) == AP_DRW && ++port.memory_accesses % faults.wait == 0)
		return ACK_WAIT;
	if (!read)
		return ACK_OK;
	if (!ap) {
		*ret_data = dp_read(address);
		return ACK_OK;
	}
	*ret_data = port.read_buffer;
	if (!ap_read(ap_register(address), &port.read_buffer))
		port.ctrl_stat |= STICKYERR;
	return ACK_OK;
}

void port_write(bool ap, int address, uint32_t data)
{
	if (ap) {
		if (!ap_write(ap_register(address), data))
			port.ctrl_stat |= STICKYERR;
	} else if (address == DP_ABORT) {
		if (data & 1U << 2)
			port.ctrl_stat &= ~STICKYERR;
		if (data & 1U << 3)
			port.ctrl_stat &= ~WDATAERR;
	} else if (address == DP_CTRL_STAT) {
		if ((port.select & 0xf) == 0)
			port.ctrl_stat =
				(port.ctrl_stat & (STICKYERR | WDATAERR)) | (data & (POWER_REQUESTS | ORUNDETECT));
	} else if (address == DP_SELECT) {
		port.select = data;
	}
}

void port_write_error(void)
{
	port.ctrl_stat |= WDATAERR;
}

bool port_overrun_detection(void)
{
	return port.ctrl_stat & ORUNDETECT;
}

void port_line_reset(void)
{
	port.select = 0;
}
