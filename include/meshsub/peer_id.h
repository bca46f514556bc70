/* meshsub/peer_id.h: peer ids and multiaddresses, text and binary. Strict: what is not minimal or not whole is refused.
 * Sources: libp2p peer-ids specification, multiformats multiaddr and multibase specifications. */
#ifndef MESHSUB_PEER_ID_H
#define MESHSUB_PEER_ID_H
#include "base.h"

#ifdef __cplusplus
extern "C" {
#endif

#define MSUB_PEER_ID_MAX 64   /* bytes of a peer id (a multihash) */
#define MSUB_PEER_ID_TEXT 96  /* chars of its text, NUL included */
typedef struct msub_peer_id { uint8_t n; uint8_t bytes[MSUB_PEER_ID_MAX]; } msub_peer_id;

/* A peer id is an identity multihash of at most 42 bytes of key, or a sha2-256 one. MALFORMED: anything else. */
MSUB_API int msub_peer_id_check(msub_bytes b);
/* Text in base58btc ("12D3Koo…", "16Uiu2…", "Qm…") or as a CIDv1 with codec libp2p-key in any multibase that begins b, z, k, f. MALFORMED. */
MSUB_API int msub_peer_id_parse(const char *text, msub_peer_id *out);
/* base58btc, NUL-terminated; `out` holds MSUB_PEER_ID_TEXT. Returns out. Bytes that are no peer id come out in hex. */
MSUB_API char *msub_peer_id_text(msub_bytes id, char out[MSUB_PEER_ID_TEXT]);
static inline msub_bytes msub_peer_id_bytes(const msub_peer_id *p) { return (msub_bytes){ p->bytes, p->n }; }
/* A copy of bytes that are a peer id, which is not checked here. More than MSUB_PEER_ID_MAX: empty (n == 0). */
MSUB_API msub_peer_id msub_peer_id_of(msub_bytes b);

#define MSUB_MULTIADDR_MAX 512       /* bytes of a binary multiaddr */
#define MSUB_MULTIADDR_TEXT 1024     /* chars of its text, NUL included */
typedef struct msub_multiaddr { uint16_t n; uint8_t bytes[MSUB_MULTIADDR_MAX]; } msub_multiaddr;
/* Text to binary and back. MALFORMED: unknown protocol, bad value, padded varint, over the limit. */
MSUB_API int msub_multiaddr_parse(const char *text, msub_multiaddr *out);
MSUB_API int msub_multiaddr_check(msub_bytes b);
MSUB_API int msub_multiaddr_text(msub_bytes b, char *out, size_t cap); /* LIMIT: cap too small */
/* The pieces a dialer needs. */
typedef enum msub_addr_host { MSUB_ADDR_IP4, MSUB_ADDR_IP6, MSUB_ADDR_DNS, MSUB_ADDR_DNS4, MSUB_ADDR_DNS6, MSUB_ADDR_DNSADDR, MSUB_ADDR_UNIX } msub_addr_host;
typedef struct msub_addr {
  msub_addr_host host;
  msub_bytes value;     /* 4 or 16 bytes, or the name */
  uint16_t tcp;         /* 0: no /tcp part */
  bool ws;
  msub_bytes peer_id;   /* of a trailing /p2p; empty: none */
} msub_addr;
/* Views into b. UNSUPPORTED: well formed, but no address that TCP can dial (udp, quic, relay …). */
MSUB_API int msub_multiaddr_split(msub_bytes b, msub_addr *out);
/* Builds /ip4|ip6/…/tcp/… (ip: 4 or 16 bytes, otherwise INVAL), and appends /p2p/id to an address that has none. MISMATCH: it ends
 * in another id; UNSUPPORTED: nothing can follow a /unix path; LIMIT: too long. On an error the address is unchanged. */
MSUB_API int msub_multiaddr_tcp(msub_bytes ip, uint16_t port, msub_multiaddr *out);
MSUB_API int msub_multiaddr_with_peer(msub_multiaddr *a, msub_bytes peer_id);

#ifdef __cplusplus
}
#endif
#endif
