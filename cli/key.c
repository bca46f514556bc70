/* meshsub key: identities. */
#include "cli/commands.h"
#include "cli/files.h"
#include "cli/node.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PEM_MAX 16384

static const char *const type_names[] = { "rsa", "ed25519", "secp256k1", "ecdsa" };

static void print_key(const msub_key *key, const char *file, bool json) {
  msub_bytes public = msub_key_public(key);
  const char *type = type_names[msub_key_type_of(key)];
  if (json) {
    json_t *j = json_object();
    if (file) json_object_set_new(j, "file", json_string(file));
    json_object_set_new(j, "peer", json_peer(msub_key_peer_id(key)));
    json_object_set_new(j, "type", json_string(type));
    json_object_set_new(j, "public_key", json_hex(public));
    put_json(stdout, j);
    return;
  }
  char *hex = take(2 * public.n + 1);
  put_hex(hex, public);
  printf("peer        %s\ntype        %s\npublic key  %s\n", peer_text(msub_key_peer_id(key)), type, hex);
  free(hex);
}

static bool write_all(int fd, const uint8_t *p, size_t n) {
  while (n) {
    ssize_t written = write(fd, p, n);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    p += written;
    n -= (size_t)written;
  }
  return true;
}

/* A new file, never an old one, readable for its owner only; all of it on the disk or no file at all. */
static int write_key(const command *c, const char *file, const uint8_t *bytes, size_t n) {
  int fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0 && errno == EEXIST) {
    say_error(c->program, "%s: exists, and a key is never overwritten; choose another name", quoted(file));
    return EXIT_FAILED;
  }
  if (fd < 0) {
    say_error(c->program, "%s: cannot be made: %s", quoted(file), strerror(errno));
    return EXIT_FAILED;
  }
  bool good = fchmod(fd, 0600) == 0 && write_all(fd, bytes, n) && fsync(fd) == 0;
  int error = errno;
  if (close(fd) != 0 && good) {
    good = false;
    error = errno;
  }
  if (good) return EXIT_OK;
  unlink(file);
  say_error(c->program, "%s: cannot be written: %s", quoted(file), strerror(error));
  return EXIT_FAILED;
}

static const char *type_at(const void *ud, size_t i) {
  (void)ud;
  return i < sizeof type_names / sizeof *type_names ? type_names[i] : NULL;
}

static int find_type(const command *c, const char *name, msub_key_type *out) {
  for (size_t i = 0; type_at(NULL, i); i++) {
    *out = (msub_key_type)i;
    if (strcmp(name, type_names[i]) == 0) return -1;
  }
  const char *meant = nearest(name, type_at, NULL);
  return usage_error(c, "--type %s: there are ed25519, secp256k1, ecdsa and rsa%s%s%s", quoted(name), meant ? "; did you mean " : "",
                     meant ? meant : "", meant ? "?" : "");
}

/* The first line. */
static int read_passphrase(const command *c, const char *file, uint8_t *out, size_t cap, size_t *n) {
  *n = 0;
  if (!file) return -1;
  int code = read_file(c, "--passphrase ", file, out, cap, n);
  for (size_t i = 0; code < 0 && i < *n; i++) {
    if (out[i] == '\n') *n = i;
  }
  if (code < 0 && *n == 0) {
    say_error(c->program, "--passphrase %s: its first line is empty; the passphrase stands there", quoted(file));
    code = EXIT_FAILED;
  }
  return code;
}

static int key_import(int argc, char **argv) {
  static const command c = {
    "meshsub key import", "PEM FILE [options]",
    "Reads a private key in PEM (PKCS#8 plain or encrypted, PKCS#1, EC), as openssl and\n"
    "\"ipfs key export --format=pem-pkcs8-cleartext\" write it, and writes it to FILE\n"
    "(mode 0600). A file that exists is never overwritten. Prints the peer id.",
    "Exit codes: 0 done, 1 no such key, or FILE exists or cannot be written, 2 wrong usage."
  };
  bool json = false;
  const char *secret_file = NULL;
  const option_row rows[] = {
    { "--passphrase", 0, OPT_TEXT, "FILE", "The passphrase is the first line of FILE.", &secret_file, 0, 0, NULL },
    { "--json", 0, OPT_FLAG, NULL, "Print one JSON object.", &json, 0, 0, NULL },
    { 0 },
  };
  text_list args = { 0 };
  int code = options_read(&c, rows, argc, argv, &args);
  if (code < 0 && args.n != 2)
    code = usage_error(&c, "%s", args.n < 2 ? "PEM and FILE are wanted; name the key to read and the file to make" : "one PEM and one FILE only");
  const char *pem = args.n ? args.v[0] : NULL, *file = args.n > 1 ? args.v[1] : NULL;
  free(args.v);
  if (code >= 0) return code;
  uint8_t bytes[PEM_MAX], secret[1024];
  size_t n = 0, secret_n = 0;
  msub_key *key = NULL;
  code = read_passphrase(&c, secret_file, secret, sizeof secret, &secret_n);
  if (code < 0) code = read_file(&c, "", pem, bytes, sizeof bytes, &n);
  if (code < 0) {
    int err = msub_key_from_pem((msub_bytes){ bytes, n }, (msub_bytes){ secret, secret_n }, &key);
    const char *why = err == MSUB_ERR_NOTFOUND      ? "is encrypted; name the file of its passphrase with --passphrase FILE"
                      : err == MSUB_ERR_CRYPTO      ? "does not open with this passphrase"
                      : err == MSUB_ERR_UNSUPPORTED ? "is a key of another kind than ed25519, secp256k1, ecdsa (P-256, P-384, P-521) and rsa (2048 to 8192 bits)"
                                                    : "is no private key in PEM; \"meshsub key show FILE\" shows those that are no PEM";
    if (err != MSUB_OK) {
      say_error(c.program, "%s: %s", quoted(pem), why);
      code = EXIT_FAILED;
    }
  }
  if (code < 0) {
    n = msub_key_export(key, bytes, sizeof bytes);
    code = write_key(&c, file, bytes, n);
    if (code == EXIT_OK && json) print_key(key, file, true);
    else if (code == EXIT_OK) puts(peer_text(msub_key_peer_id(key)));
  }
  explicit_bzero(bytes, sizeof bytes);
  explicit_bzero(secret, sizeof secret);
  msub_key_free(key);
  return code == EXIT_OK && !flush_out(c.program, stdout) ? EXIT_FAILED : code;
}

static int key_export(int argc, char **argv) {
  static const command c = {
    "meshsub key export", "FILE PEM | - [options]",
    "Writes a key file as PKCS#8 in PEM to the new file PEM (mode 0600), or to standard\n"
    "output. With a passphrase it is encrypted (AES-256-CBC, PBKDF2 with 600,000 rounds).",
    "Exit codes: 0 done, 1 the file is no readable key, or PEM exists or cannot be written, 2 wrong usage."
  };
  const char *secret_file = NULL;
  const option_row rows[] = {
    { "--passphrase", 0, OPT_TEXT, "FILE", "Encrypt it; the passphrase is the first line of FILE.", &secret_file, 0, 0, NULL },
    { 0 },
  };
  text_list args = { 0 };
  int code = options_read(&c, rows, argc, argv, &args);
  if (code < 0 && args.n != 2)
    code = usage_error(&c, "%s", args.n < 2 ? "FILE and PEM are wanted; name the key and the file to make, or - for standard output"
                                            : "one FILE and one PEM only");
  const char *file = args.n ? args.v[0] : NULL, *pem = args.n > 1 ? args.v[1] : NULL;
  free(args.v);
  if (code >= 0) return code;
  uint8_t secret[1024];
  char text[PEM_MAX];
  size_t secret_n = 0;
  msub_key *key = NULL;
  code = read_passphrase(&c, secret_file, secret, sizeof secret, &secret_n);
  if (code < 0) code = key_read(c.program, "", file, &key);
  if (code < 0) {
    size_t n = msub_key_to_pem(key, (msub_bytes){ secret, secret_n }, text, sizeof text);
    if (n == 0 || n > sizeof text) {
      say_error(c.program, "out of memory");
      code = EXIT_FAILED;
    } else if (strcmp(pem, "-") != 0) {
      code = write_key(&c, pem, (const uint8_t *)text, n);
    } else {
      code = write_all(STDOUT_FILENO, (const uint8_t *)text, n) ? EXIT_OK : EXIT_FAILED;
      if (code) say_error(c.program, "standard output cannot be written: %s", strerror(errno));
    }
  }
  explicit_bzero(text, sizeof text);
  explicit_bzero(secret, sizeof secret);
  msub_key_free(key);
  return code;
}

static int key_new(int argc, char **argv) {
  static const command c = {
    "meshsub key new", "FILE [options]",
    "Makes a new identity and writes it to FILE (mode 0600), as a libp2p PrivateKey\n"
    "protobuf. A file that exists is never overwritten. Prints the peer id.",
    "Exit codes: 0 done, 1 the file exists or cannot be written, 2 wrong usage."
  };
  bool json = false, to_stdout = false;
  const char *type_name = NULL;
  uint64_t bits = 3072;
  const option_row rows[] = {
    { "--type", 0, OPT_TEXT, "TYPE", "ed25519 (default), secp256k1, ecdsa (P-256) or rsa.", &type_name, 0, 0, NULL },
    { "--bits", 0, OPT_NUMBER, "N", "Of an RSA key, 2048 to 8192. Default 3072; peers that know\nno better take 4096 at most.", &bits,
      MSUB_RSA_BITS_MIN, MSUB_RSA_BITS_MAX, NULL },
    { "--stdout", 0, OPT_FLAG, NULL, "Write the key to standard output instead of a file.", &to_stdout, 0, 0,
      NULL },
    { "--json", 0, OPT_FLAG, NULL, "Print one JSON object.", &json, 0, 0, NULL },
    { 0 },
  };
  text_list args = { 0 };
  int code = options_read(&c, rows, argc, argv, &args);
  if (code < 0 && to_stdout && (args.n || json))
    code = usage_error(&c, "--stdout goes with neither a FILE nor --json: the key is all that is written");
  if (code < 0 && !to_stdout && args.n != 1)
    code = usage_error(&c, args.n ? "one FILE only" : "FILE is missing; name the file to make");
  const char *file = args.n ? args.v[0] : NULL;
  free(args.v);
  msub_key_type type = MSUB_KEY_ED25519;
  if (code < 0 && type_name) code = find_type(&c, type_name, &type);
  if (code >= 0) return code;
  msub_key *key = NULL;
  int err = msub_key_generate_type(type, (unsigned)bits, &key);
  if (err != MSUB_OK) {
    say_error(c.program, "no key can be made: %s", msub_err_text(err));
    return EXIT_FAILED;
  }
  uint8_t bytes[PEM_MAX];
  size_t n = msub_key_export(key, bytes, sizeof bytes);
  if (to_stdout) {
    code = write_all(STDOUT_FILENO, bytes, n) ? EXIT_OK : EXIT_FAILED;
    if (code) say_error(c.program, "standard output cannot be written: %s", strerror(errno));
  } else {
    code = write_key(&c, file, bytes, n);
    if (code == EXIT_OK && json)
      print_key(key, file, true);
    else if (code == EXIT_OK)
      puts(peer_text(msub_key_peer_id(key)));
  }
  explicit_bzero(bytes, sizeof bytes);
  msub_key_free(key);
  return code == EXIT_OK && !flush_out(c.program, stdout) ? EXIT_FAILED : code;
}

static int key_show(int argc, char **argv) {
  static const command c = {
    "meshsub key show", "FILE [options]",
    "Prints the peer id, type and public key (a PublicKey protobuf, in hex) of a key file.",
    "Exit codes: 0 done, 1 the file is no readable key, 2 wrong usage."
  };
  bool json = false;
  const option_row rows[] = { { "--json", 0, OPT_FLAG, NULL, "Print one JSON object.", &json, 0, 0, NULL },
                              { 0 } };
  text_list args = { 0 };
  int code = options_read(&c, rows, argc, argv, &args);
  if (code < 0 && args.n != 1)
    code = usage_error(&c, args.n ? "one FILE only" : "FILE is missing; name a key file");
  const char *file = args.n ? args.v[0] : NULL;
  free(args.v);
  if (code >= 0) return code;
  msub_key *key = NULL;
  code = key_read(c.program, "", file, &key);
  if (code >= 0) return code;
  print_key(key, file, json);
  msub_key_free(key);
  return flush_out(c.program, stdout) ? EXIT_OK : EXIT_FAILED;
}

int cmd_key(int argc, char **argv) {
  static const command c = {
    "meshsub key", "new FILE | show FILE | import PEM FILE | export FILE PEM",
    "Makes and shows identities, and takes them from and to PEM. \"meshsub key new --help\"\n"
    "and so on say more.",
    "Exit codes: 0 done, 1 failed, 2 wrong usage."
  };
  const option_row none[] = { { 0 } };
  if (argc > 1 && strcmp(argv[1], "new") == 0) return key_new(argc - 1, argv + 1);
  if (argc > 1 && strcmp(argv[1], "show") == 0) return key_show(argc - 1, argv + 1);
  if (argc > 1 && strcmp(argv[1], "import") == 0) return key_import(argc - 1, argv + 1);
  if (argc > 1 && strcmp(argv[1], "export") == 0) return key_export(argc - 1, argv + 1);
  text_list args = { 0 };
  int code = options_read(&c, none, argc, argv, &args);
  if (code < 0 && args.n)
    code = usage_error(&c, "unknown command %s; there are new, show, import and export", quoted(args.v[0]));
  else if (code < 0)
    code = usage_error(&c, "what to do is missing; say new, show, import or export");
  free(args.v);
  return code;
}
