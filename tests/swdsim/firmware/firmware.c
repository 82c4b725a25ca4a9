/*
 * What a board's own firmware would do with its credentials: find them in
 * flash, check them, and say on the UART what they are. Runs on a Cortex-M3
 * (STM32F100) without a C library.
 */
#include <stdint.h>

#define CREDENTIALS ((const uint8_t *)0x0801e000U)
#define CODESIGN ((const uint8_t *)0x0801f000U)
#define REGION_SIZE 4096U
#define USART1_SR (*(volatile uint32_t *)0x40013800U)
#define USART1_DR (*(volatile uint32_t *)0x40013804U)
#define USART1_CR1 (*(volatile uint32_t *)0x4001380cU)

void reset(void);

static void put(char c)
{
	while (!(USART1_SR & 0x80))
		;
	USART1_DR = (uint32_t)c;
}

static void say(const char *text)
{
	while (*text != '\0')
		put(*text++);
}

static void hex(uint32_t value, int digits)
{
	while (digits-- > 0)
		put("0123456789abcdef"[value >> 4 * digits & 15]);
}

static uint32_t word(const uint8_t *at, int size)
{
	uint32_t value = 0;

	while (size-- > 0)
		value = value << 8 | at[size];
	return value;
}

static uint32_t crc32(const uint8_t *at, uint32_t len)
{
	uint32_t crc = 0xffffffffU;

	while (len-- > 0) {
		crc ^= *at++;
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (0xedb88320U & -(crc & 1));
	}
	return ~crc;
}

static void read_region(const uint8_t *at)
{
	uint32_t body = word(at + 8, 4);

	if (word(at, 4) != 0x43544f49U || word(at + 28, 4) != crc32(at, 28) || body > REGION_SIZE - 32 ||
	    word(at + 16, 4) != crc32(at + 32, body)) {
		say("no credentials\n");
		return;
	}
	for (uint32_t i = 32; i < 32 + body;) {
		uint32_t len = word(at + i + 4, 4);

		say("item ");
		hex(word(at + i, 2), 2);
		say(" ");
		hex(len, 4);
		say(" ");
		hex(crc32(at + i + 8, len), 8);
		say("\n");
		i += 8 + (len + 3) / 4 * 4;
	}
}

void reset(void)
{
	USART1_CR1 = 0x2008;
	read_region(CREDENTIALS);
	read_region(CODESIGN);
	say("end\n");
	for (;;)
		;
}

__attribute__((section(".vectors"), used)) static const void *const vectors[] = {(const void *)0x20002000U, (const void *)reset};
