/* multiformats/ip.h: IP addresses as text, without the C library's network functions. */
#ifndef MSUB_MULTIFORMATS_IP_H
#define MSUB_MULTIFORMATS_IP_H
#include "meshsub/base.h"

#define MSUB__IP4_TEXT 15u /* chars at most, without NUL */
#define MSUB__IP6_TEXT 39u

/* Four decimal numbers without leading zeros. */
MSUB_MUST bool msub__ip4_parse(msub_bytes text, uint8_t out[4]);
size_t msub__ip4_text(const uint8_t ip[4], char out[MSUB__IP4_TEXT]); /* the number of chars; no NUL */
/* RFC 4291 2.2: any of its three forms, without zone and brackets. */
MSUB_MUST bool msub__ip6_parse(msub_bytes text, uint8_t out[16]);
/* RFC 5952; IPv4-mapped addresses as ::ffff:1.2.3.4. */
size_t msub__ip6_text(const uint8_t ip[16], char out[MSUB__IP6_TEXT]);

/* A decimal number without leading zeros, at most `max`. */
MSUB_MUST bool msub__decimal_parse(msub_bytes text, uint32_t max, uint32_t *out);
size_t msub__decimal_text(uint32_t v, char out[10]);
#endif
