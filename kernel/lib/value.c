/* Values of telepod.ini: strict decoding, no rounding, no silent truncation. */
#include <string.h>
#include "kernel/lib/value.h"
#include "kernel/lib/addr.h"
#include "kernel/lib/util.h"

#define IPV4_BYTES 4
#define MAC_BYTES 6
#define MAC_GROUP 0x01 /* of the first byte: the address of many stations */
#define IPV4_LOOPBACK 127
#define IPV4_MULTICAST_FIRST 224
#define IPV4_PREFIX_MAX 30 /* /31 and /32 leave no room for pod, peer, network and broadcast address */

/* ASCII tests of our own: <ctype.h> depends on a locale, and its tables are not worth their size. */
static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Reads decimal digits from *text, at least one, up to max, and moves *text behind them. */
static bool take_number(const char **text, uint64_t max, uint64_t *out)
{
    const char *c = *text;
    uint64_t value = 0;

    if (!is_digit(*c))
        return false;
    for (; is_digit(*c); c++) {
        uint64_t digit = (uint64_t)(*c - '0');

        if (digit > max || value > (max - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    *text = c;
    *out = value;
    return true;
}

bool value_number(const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
    uint64_t value;

    if (!take_number(&text, max, &value) || *text != '\0' || value < min)
        return false;
    *out = value;
    return true;
}

static int hex_value(char c)
{
    if (is_digit(c))
        return c - '0';
    c |= 'a' ^ 'A';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool value_hex32(const char *text, uint32_t *out)
{
    uint32_t value = 0;

    if (strlen(text) != 2 * sizeof(value))
        return false;
    for (; *text; text++) {
        int digit = hex_value(*text);

        if (digit < 0)
            return false;
        value = value << 4 | (uint32_t)digit;
    }
    *out = value;
    return true;
}

bool value_size(const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
    static const struct { char suffix; uint64_t bytes; } units[] = {
        { 'K', KIB }, { 'M', MIB }, { 'G', GIB },
    };
    uint64_t value;

    if (!take_number(&text, max, &value))
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
        if (text[0] != units[i].suffix || text[1] != '\0')
            continue;
        if (value > max / units[i].bytes || value * units[i].bytes < min)
            return false;
        *out = value * units[i].bytes;
        return true;
    }
    return false;
}

static bool take_name(const char *text, char *out, size_t size, bool digit_first)
{
    size_t length = strlen(text);

    if (length == 0 || length >= size || !(is_letter(*text) || (digit_first && is_digit(*text))))
        return false;
    for (const char *c = text; *c; c++) {
        if (!is_letter(*c) && !is_digit(*c) && *c != '-' && *c != '_' && *c != '.')
            return false;
    }
    memcpy(out, text, length + 1);
    return true;
}

bool value_name(const char *text, char *out, size_t size)
{
    return take_name(text, out, size, false);
}

bool value_file_name(const char *text, char *out, size_t size)
{
    return take_name(text, out, size, true);
}

bool value_text(const char *text, char *out, size_t size)
{
    size_t length = strlen(text);

    if (length >= size)
        return false;
    memcpy(out, text, length + 1);
    return true;
}

bool value_word(const char *text, const char *const *words, uint32_t count, uint32_t *out)
{
    for (uint32_t i = 0; i < count; i++) {
        if (strcmp(text, words[i]) == 0) {
            *out = i;
            return true;
        }
    }
    return false;
}

/* The index of the word of `length` characters; count: it is none of the list. */
static uint32_t find_word(const char *text, size_t length, const char *const *words, uint32_t count)
{
    uint32_t i = 0;

    while (i < count && !(strlen(words[i]) == length && memcmp(words[i], text, length) == 0))
        i++;
    return i;
}

bool value_set(const char *text, const char *const *words, uint32_t count, uint32_t *out)
{
    uint32_t set = 0;

    if (strcmp(text, "none") == 0) {
        *out = 0;
        return true;
    }
    for (;;) {
        size_t length = strcspn(text, ", ");
        uint32_t i = find_word(text, length, words, count);

        if (i == count || (set & BIT(i)))
            return false;
        set |= (uint32_t)BIT(i);
        text += length;
        text += strspn(text, " ");
        if (*text == '\0')
            break;
        if (*text++ != ',')
            return false;
        text += strspn(text, " ");
    }
    *out = set;
    return true;
}

bool value_mac(const char *text, uint8_t out[MAC_BYTES])
{
    uint8_t mac[MAC_BYTES], any = 0;

    for (int i = 0; i < MAC_BYTES; i++) {
        int high = hex_value(text[0]), low = high < 0 ? -1 : hex_value(text[1]);

        if (low < 0 || text[2] != (i + 1 < MAC_BYTES ? ':' : '\0'))
            return false;
        mac[i] = (uint8_t)(high << 4 | low);
        any |= mac[i];
        text += 3;
    }
    if (!any || (mac[0] & MAC_GROUP))
        return false;
    memcpy(out, mac, MAC_BYTES);
    return true;
}

/* a.b.c.d as a number in host order; moves *text behind it. */
static bool take_ipv4(const char **text, uint32_t *out)
{
    uint32_t address = 0;

    for (int i = 0; i < IPV4_BYTES; i++) {
        uint64_t byte;

        if (i > 0 && *(*text)++ != '.')
            return false;
        if ((*text)[0] == '0' && (*text)[1] >= '0' && (*text)[1] <= '9')
            return false;   /* 010 is 10 for some and 8 for others */
        if (!take_number(text, UINT8_MAX, &byte))
            return false;
        address = address << 8 | (uint32_t)byte;
    }
    uint32_t first = address >> 24;

    *out = address;
    return first != 0 && first != IPV4_LOOPBACK && first < IPV4_MULTICAST_FIRST;
}

bool value_ipv4(const char *text, uint32_t *out)
{
    uint32_t address;

    if (!take_ipv4(&text, &address) || *text != '\0')
        return false;
    *out = __builtin_bswap32(address);
    return true;
}

bool value_ipv4_net(const char *text, uint32_t *address, uint32_t *netmask)
{
    uint32_t host_order, mask;
    uint64_t length;

    if (!take_ipv4(&text, &host_order) || *text++ != '/' || !take_number(&text, IPV4_PREFIX_MAX, &length))
        return false;
    if (*text != '\0' || length == 0)
        return false;
    mask = UINT32_MAX << (32 - length);
    /* The network itself, or its broadcast address. */
    if ((host_order & ~mask) == 0 || (host_order & ~mask) == ~mask)
        return false;
    *address = __builtin_bswap32(host_order);
    *netmask = __builtin_bswap32(mask);
    return true;
}
