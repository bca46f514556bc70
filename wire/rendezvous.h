/* wire/rendezvous.h: messages of /rendezvous/1.0.0, without their length prefix. Views into the input; nothing is allocated. */
#ifndef MSUB_WIRE_RENDEZVOUS_H
#define MSUB_WIRE_RENDEZVOUS_H
#include "meshsub/base.h"

typedef enum msub__rv_type {
  MSUB__RV_REGISTER = 0, MSUB__RV_REGISTER_RESPONSE = 1, MSUB__RV_UNREGISTER = 2, MSUB__RV_DISCOVER = 3, MSUB__RV_DISCOVER_RESPONSE = 4
} msub__rv_type;
enum {
  MSUB__RV_OK = 0, MSUB__RV_INVALID_NAMESPACE = 100, MSUB__RV_INVALID_RECORD = 101, MSUB__RV_INVALID_TTL = 102, MSUB__RV_INVALID_COOKIE = 103,
  MSUB__RV_NOT_AUTHORIZED = 200, MSUB__RV_INTERNAL = 300, MSUB__RV_UNAVAILABLE = 400
};

/* The part that `type` names; parts of other types are read over. Of a field that comes several times the last counts. */
typedef struct msub__rv_message {
  msub__rv_type type;
  uint64_t status;         /* responses; 0 when absent, which is OK */
  bool has_ttl;
  uint64_t ttl, limit;     /* seconds; limit 0: none */
  msub_bytes ns, record, cookie;
  msub_bytes part;         /* of a DISCOVER_RESPONSE, for msub__rv_registration() */
} msub__rv_message;

/* MALFORMED: no protobuf, no type or an unknown one, or no part of this type. */
MSUB_MUST int msub__rv_parse(msub_bytes in, msub__rv_message *out);
/* The next registration of a DISCOVER_RESPONSE: ns, record, ttl. *rest begins as the message's part. false: no more. */
bool msub__rv_registration(msub_bytes *rest, msub__rv_message *out);

/* Length needed; writes when cap suffices. What is empty or 0 is left out, except the type, and status and ttl of a response. */
size_t msub__rv_encode(const msub__rv_message *m, uint8_t *out, size_t cap);
/* An answer to DISCOVER is written in pieces: the registrations one by one, then the end of the part, and around them the head. */
size_t msub__rv_encode_registration(msub_bytes ns, msub_bytes record, uint64_t ttl, uint8_t *out, size_t cap);
size_t msub__rv_encode_discovered(uint64_t status, msub_bytes cookie, uint8_t *out, size_t cap);
#define MSUB__RV_HEAD 14u /* most that the head takes */
size_t msub__rv_encode_head(size_t part, uint8_t *out); /* room for MSUB__RV_HEAD */
#endif
