/* wire/dns.h: DNS messages (RFC 1035), for look-ups and for multicast DNS (RFC 6762). Without I/O, without allocation.
 *
 * Names are kept as they stand on the wire, uncompressed: labels with a length in front, an empty one last. Labels are of at most 63
 * bytes, a name of at most 255. Letters compare without case. What is written is never compressed. */
#ifndef MSUB_WIRE_DNS_H
#define MSUB_WIRE_DNS_H
#include "meshsub/base.h"

#define MSUB__DNS_NAME 255u
#define MSUB__DNS_LABEL 63u
#define MSUB__DNS_HEAD 12u

enum { MSUB__DNS_A = 1, MSUB__DNS_CNAME = 5, MSUB__DNS_PTR = 12, MSUB__DNS_TXT = 16, MSUB__DNS_AAAA = 28, MSUB__DNS_SRV = 33, MSUB__DNS_ANY = 255 };
enum { MSUB__DNS_IN = 1, MSUB__DNS_TOP = 0x8000 }; /* TOP, in multicast: answer me alone; or: this record replaces what was known */
enum { MSUB__DNS_RESPONSE = 0x8000, MSUB__DNS_AUTHORITATIVE = 0x0400, MSUB__DNS_TRUNCATED = 0x0200, MSUB__DNS_RECURSE = 0x0100,
  MSUB__DNS_RCODE = 0x000f };

typedef struct msub__dns_name {
  uint8_t n;
  uint8_t bytes[MSUB__DNS_NAME];
} msub__dns_name;

/* Text with dots; a dot at the end is fine. MALFORMED: an empty or overlong label or name. */
MSUB_MUST int msub__dns_name_from(msub_bytes text, msub__dns_name *out);
/* A label in front of a name. LIMIT: it does not fit, or is no label. */
MSUB_MUST int msub__dns_name_under(msub_bytes label, const msub__dns_name *parent, msub__dns_name *out);
bool msub__dns_name_eq(const msub__dns_name *a, const msub__dns_name *b);

/* ---- reading ---- */

typedef enum msub__dns_section { MSUB__DNS_QUESTION, MSUB__DNS_ANSWER, MSUB__DNS_AUTHORITY, MSUB__DNS_ADDITIONAL } msub__dns_section;
typedef struct msub__dns_reader {
  msub_bytes in;
  size_t at;
  uint16_t id, flags, left[4];
  bool bad; /* it was malformed where reading stopped */
} msub__dns_reader;
typedef struct msub__dns_record {
  msub__dns_section section;
  msub__dns_name name;
  uint16_t type, class;
  uint32_t ttl;    /* questions: 0 */
  msub_bytes data; /* a view; questions: empty */
} msub__dns_record;

/* MALFORMED: shorter than a header. */
MSUB_MUST int msub__dns_open(msub__dns_reader *r, msub_bytes message);
/* The next question or record; false: there is none any more, or r->bad. */
MSUB_MUST bool msub__dns_next(msub__dns_reader *r, msub__dns_record *out);
/* The name in the data of a record of r, from byte `skip` of it on (PTR, CNAME: 0; SRV: 6). MALFORMED. */
MSUB_MUST int msub__dns_data_name(const msub__dns_reader *r, const msub__dns_record *rec, size_t skip, msub__dns_name *out);
/* Takes a string off the data of a TXT record. */
MSUB_MUST bool msub__dns_take_text(msub_bytes *data, msub_bytes *text);

/* ---- writing ---- */

typedef struct msub__dns_writer {
  uint8_t *out;
  size_t n, cap;
  bool full; /* something did not fit: the message is not whole */
} msub__dns_writer;
void msub__dns_begin(msub__dns_writer *w, uint8_t *out, size_t cap, uint16_t id, uint16_t flags);
void msub__dns_ask(msub__dns_writer *w, const msub__dns_name *name, uint16_t type, uint16_t class);
/* Sections in order. false: it did not fit, and nothing of it was written. */
bool msub__dns_add(msub__dns_writer *w, msub__dns_section section, const msub__dns_name *name, uint16_t type, uint16_t class, uint32_t ttl,
                   msub_bytes data);
#endif
