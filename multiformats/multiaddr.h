/* multiformats/multiaddr.h: the components of a binary multiaddr: <code> [<length>] <value>, again and again.
 */
#ifndef MSUB_MULTIFORMATS_MULTIADDR_H
#define MSUB_MULTIFORMATS_MULTIADDR_H
#include "meshsub/peer_id.h"

/* How a value is written as text. */
typedef enum msub__ma_kind {
  MSUB__MA_NONE, /* no value */
  MSUB__MA_IP4,
  MSUB__MA_IP6,
  MSUB__MA_BYTE, /* decimal */
  MSUB__MA_PORT, /* decimal, two bytes, big end first */
  MSUB__MA_NAME, /* printable ASCII without a slash */
  MSUB__MA_PATH, /* the rest of the text; nothing can follow */
  MSUB__MA_PEER,
  MSUB__MA_CERT /* a multihash in a multibase */
} msub__ma_kind;

typedef struct msub__ma_proto {
  uint16_t code;
  uint8_t kind; /* msub__ma_kind */
  int8_t size;  /* bytes of the value; -1: a length stands before it */
  char name[16];
} msub__ma_proto;

enum {
  MSUB__MA_CODE_IP4 = 0x04,
  MSUB__MA_CODE_TCP = 0x06,
  MSUB__MA_CODE_IP6 = 0x29,
  MSUB__MA_CODE_DNS = 0x35,
  MSUB__MA_CODE_DNS4 = 0x36,
  MSUB__MA_CODE_DNS6 = 0x37,
  MSUB__MA_CODE_DNSADDR = 0x38,
  MSUB__MA_CODE_UNIX = 0x0190,
  MSUB__MA_CODE_P2P = 0x01a5,
  MSUB__MA_CODE_WS = 0x01dd
};

/* Takes a component off the front; false: it is malformed. Values are checked. */
MSUB_MUST bool msub__ma_take(msub_bytes *in, const msub__ma_proto **proto, msub_bytes *value);
/* Appends one; LIMIT: it does not fit. The value must be a good one. */
MSUB_MUST int msub__ma_append(msub_multiaddr *a, uint16_t code, msub_bytes value);
#endif
