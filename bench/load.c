/*
 * The load, in one process with one thread: non-blocking sockets and poll(2), so that it builds wherever there is a cc.
 *
 *   load echo PORT CONNECTIONS SIZE IN_FLIGHT   each connection keeps IN_FLIGHT messages of SIZE bytes under way, which are
 *                                               lines
 *   load tls PORT CONNECTIONS SIZE IN_FLIGHT    the same over TLS, if it was compiled with -DTLS, -lssl and -lcrypto
 *   load churn PORT CONNECTIONS                 connect, one byte, read it back, reset, and again
 *   load idle PORT CONNECTIONS                  opens connections, and holds them
 *   load serve                                  the other side of a relay: an echo server
 *
 * Prints "open" when it has all the connections it starts with, or the port of the server. Then each line on stdin is a
 * number of seconds to run for, after a ramp: "measuring" stands for its beginning, and what it has measured is a line of
 * JSON: {"rate", "p50", "p99", "count"}, per second and in microseconds, of this and all runs before. What is under way then
 * comes to its end, and is not in them. It ends if something else comes back than was sent, which may well be fast. The
 * first run goes on until something has come back. It holds what it has open until stdin ends, so that no end of a connection
 * is in the figures.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#ifdef TLS
#include <openssl/err.h>
#include <openssl/ssl.h>

/* Without it, all is in clear. */
static SSL_CTX *tls;
#else
typedef void SSL;
#endif

/* What goes before the measuring starts: connections in their stride. */
#define FIRST_RAMP_SECONDS 0.2
#define RAMP_SECONDS 0.05
#define CHUNK (256 * 1024)
#define SLOWEST 1000000

static char chunk[CHUNK];
/* As many messages as fill a chunk, from each byte of the first one on. */
static char *messages;
static struct sockaddr_in server;
/* Of all runs. */
static uint32_t latencies[SLOWEST];
static uint64_t measured;
static double measured_seconds;

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static double seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void say(const char *line) {
  puts(line);
  fflush(stdout);
}

/* Starts with a ramp, then it is measured, then what is under way comes to its end. */
static struct {
  double ramps_until, duration, start;
  int measures;
} run;

/* False when there will be no other: stdin has ended. */
static int begin_run(void) {
  char line[64];
  if (!fgets(line, sizeof line, stdin)) return 0;
  run.ramps_until = seconds() + (measured_seconds > 0 ? RAMP_SECONDS : FIRST_RAMP_SECONDS);
  run.duration = atof(line);
  return 1;
}

/* Whether more of it is to be started. */
static int goes_on(void) {
  double now = seconds();
  if (!run.measures && now < run.ramps_until) return 1;
  if (!run.measures) {
    run.measures = 1;
    run.start = now;
    say("measuring");
  }
  if (now < run.start + run.duration || measured == 0) return 1;
  run.measures = 0;
  measured_seconds += now - run.start;
  return 0;
}

static void record(double duration) {
  if (!run.measures) return;
  double micros = duration * 1e6;
  latencies[micros < SLOWEST ? (int)micros : SLOWEST - 1]++;
  measured++;
}

static int percentile(double share) {
  uint64_t seen = 0;
  for (int micros = 0; micros < SLOWEST; micros++) {
    seen += latencies[micros];
    if ((double)seen >= share * (double)measured) return micros;
  }
  return SLOWEST;
}

static void report(void) {
  printf("{\"rate\":%.1f,\"p50\":%d,\"p99\":%d,\"count\":%llu}\n", (double)measured / measured_seconds, percentile(0.5),
         percentile(0.99), (unsigned long long)measured);
  fflush(stdout);
}

static void set_options(int fd) {
  int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  fcntl(fd, F_SETFL, O_NONBLOCK);
}

static int dial(void) {
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  /* Its end is a reset instead of TIME_WAIT, so that no run is short of ports. */
  struct linger none = {1, 0};
  if (fd < 0) fail("socket");
  set_options(fd);
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
  if (connect(fd, (struct sockaddr *)&server, sizeof server) < 0 && errno != EINPROGRESS) fail("connect");
  return fd;
}

static void await_events(struct pollfd *fds, nfds_t count) {
  if (poll(fds, count, 10000) <= 0) fail("poll");
}

/* ---- echo ---- */

/* Connections that are under way at once: fewer than a listener's backlog, or the kernel makes them wait for seconds. */
#define DIALLING 1024

struct flow {
  uint64_t sent, received;
  double *started; /* of the messages under way, a ring */
  SSL *ssl;
};

#ifdef TLS
/* As send(2) and recv(2): -1 and EAGAIN until the handshake is over, or the kernel is ready. */
static ssize_t tls_result(struct flow *flow, int result) {
  if (result > 0) return result;
  int error = SSL_get_error(flow->ssl, result);
  if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) {
    ERR_print_errors_fp(stderr);
    exit(1);
  }
  errno = EAGAIN;
  return -1;
}

static void start_tls(struct flow *flow, int fd) {
  if (!tls) return;
  flow->ssl = SSL_new(tls);
  if (!flow->ssl || !SSL_set_fd(flow->ssl, fd)) exit(1);
  SSL_set_connect_state(flow->ssl);
}

static ssize_t flow_send(struct flow *flow, int fd, const char *bytes, size_t size) {
  return flow->ssl ? tls_result(flow, SSL_write(flow->ssl, bytes, (int)size)) : send(fd, bytes, size, MSG_NOSIGNAL);
}

static ssize_t flow_recv(struct flow *flow, int fd) {
  return flow->ssl ? tls_result(flow, SSL_read(flow->ssl, chunk, CHUNK)) : recv(fd, chunk, CHUNK, 0);
}
#else
static void start_tls(struct flow *flow, int fd) { (void)flow, (void)fd; }

static ssize_t flow_send(struct flow *flow, int fd, const char *bytes, size_t size) {
  (void)flow;
  return send(fd, bytes, size, MSG_NOSIGNAL);
}

static ssize_t flow_recv(struct flow *flow, int fd) {
  (void)flow;
  return recv(fd, chunk, CHUNK, 0);
}
#endif

/* In a handshake, who has something to send may have to read first. */
static int is_waiting_for_peer(struct flow *flow) {
#ifdef TLS
  return flow->ssl && SSL_want_read(flow->ssl);
#else
  (void)flow;
  return 0;
#endif
}

/* With none in flight, what has begun goes out and no more. */
static void transmit(struct pollfd *fd, struct flow *flow, uint64_t size, uint64_t in_flight) {
  uint64_t target = (flow->received / size + in_flight) * size;
  uint64_t begun = (flow->sent + size - 1) / size * size;
  if (target < begun) target = begun;
  while (flow->sent < target) {
    uint64_t left = target - flow->sent;
    double now = seconds();
    ssize_t sent = flow_send(flow, fd->fd, messages + flow->sent % size, left < CHUNK ? left : CHUNK);
    if (sent < 0) {
      if (errno != EAGAIN) fail("send");
      break;
    }
    for (uint64_t next = (flow->sent + size - 1) / size; next * size < flow->sent + (uint64_t)sent; next++)
      flow->started[next % in_flight] = now;
    flow->sent += (uint64_t)sent;
  }
  fd->events = POLLIN | (flow->sent < target && !is_waiting_for_peer(flow) ? POLLOUT : 0);
}

static void make_messages(uint64_t size) {
  messages = malloc(size + CHUNK);
  memset(messages, 'x', size + CHUNK);
  for (uint64_t last = size - 1; last < size + CHUNK; last += size) messages[last] = '\n';
}

/* False if there is nothing more. */
static int receive_some(int fd, struct flow *flow, uint64_t size, uint64_t in_flight) {
  ssize_t received = flow_recv(flow, fd);
  if (received == 0 || (received < 0 && errno != EAGAIN)) fail("recv");
  if (received < 0) return 0;
  if (flow->received + (uint64_t)received > flow->sent ||
      memcmp(chunk, messages + flow->received % size, (size_t)received)) {
    fputs("Something else came back than was sent\n", stderr);
    exit(1);
  }
  uint64_t message = flow->received / size;
  flow->received += (uint64_t)received;
  double now = seconds();
  for (; message < flow->received / size; message++) record(now - flow->started[message % in_flight]);
  return 1;
}

/* OpenSSL gives one record at a time, and poll(2) does not know of those that it has read already. */
static void receive(int fd, struct flow *flow, uint64_t size, uint64_t in_flight) {
  while (receive_some(fd, flow, size, in_flight) && flow->ssl) {}
}

/*
 * Dials, and has one message of each connection answered, so that each is accepted; then they rest. Node accepts one
 * connection each time around its loop: traffic would keep it from the others.
 */
static void open_flows(struct pollfd *fds, struct flow *flows, int connections, uint64_t size, uint64_t in_flight) {
  for (int dialled = 0, answered = 0; answered < connections;) {
    for (; dialled < connections && dialled - answered < DIALLING; dialled++) {
      fds[dialled] = (struct pollfd){.fd = dial(), .events = POLLOUT};
      flows[dialled].started = calloc(in_flight, sizeof(double));
      start_tls(&flows[dialled], fds[dialled].fd);
    }
    await_events(fds, (nfds_t)dialled);
    for (int i = 0; i < dialled; i++) {
      if (fds[i].revents & ~POLLOUT) {
        uint64_t before = flows[i].received;
        receive(fds[i].fd, &flows[i], size, 1);
        if (before < size && flows[i].received == size) answered++;
      }
      if (fds[i].revents && flows[i].sent < size) transmit(&fds[i], &flows[i], size, 1);
    }
  }
}

static void exchange(struct pollfd *fds, struct flow *flows, int connections, uint64_t size, uint64_t in_flight,
                     uint64_t more) {
  await_events(fds, (nfds_t)connections);
  for (int i = 0; i < connections; i++) {
    if (fds[i].revents & ~POLLOUT) receive(fds[i].fd, &flows[i], size, in_flight);
    if (fds[i].revents) transmit(&fds[i], &flows[i], size, more);
  }
}

static int is_under_way(struct flow *flows, int connections, uint64_t size) {
  for (int i = 0; i < connections; i++)
    if (flows[i].received < flows[i].sent || flows[i].sent % size) return 1;
  return 0;
}

static void echo(int connections, uint64_t size, uint64_t in_flight) {
  struct pollfd *fds = calloc((size_t)connections, sizeof *fds);
  struct flow *flows = calloc((size_t)connections, sizeof *flows);
  make_messages(size);
  open_flows(fds, flows, connections, size, in_flight);
  say("open");
  while (begin_run()) {
    for (int i = 0; i < connections; i++) transmit(&fds[i], &flows[i], size, in_flight);
    while (goes_on()) exchange(fds, flows, connections, size, in_flight, in_flight);
    report();
    while (is_under_way(flows, connections, size)) exchange(fds, flows, connections, size, in_flight, 0);
  }
}

/* ---- churn ---- */

static int is_open(struct pollfd *fds, int connections) {
  for (int i = 0; i < connections; i++)
    if (fds[i].fd >= 0) return 1;
  return 0;
}

static void take_turns(struct pollfd *fds, double *dialled, int connections) {
  await_events(fds, (nfds_t)connections);
  for (int i = 0; i < connections; i++) {
    char byte;
    if (fds[i].revents & POLLIN) {
      if (recv(fds[i].fd, &byte, 1, 0) != 1) fail("recv");
      record(seconds() - dialled[i]);
      close(fds[i].fd);
      fds[i].fd = -1;
    } else if (fds[i].revents & POLLOUT) {
      if (send(fds[i].fd, chunk, 1, MSG_NOSIGNAL) != 1) fail("send");
      fds[i].events = POLLIN;
    } else if (fds[i].revents) {
      fail("connect");
    }
  }
}

static void churn(int connections) {
  struct pollfd *fds = calloc((size_t)connections, sizeof *fds);
  double *dialled = calloc((size_t)connections, sizeof *dialled);
  for (int i = 0; i < connections; i++) fds[i].fd = -1;
  say("open");
  while (begin_run()) {
    while (goes_on()) {
      for (int i = 0; i < connections; i++) {
        if (fds[i].fd >= 0) continue;
        dialled[i] = seconds();
        fds[i] = (struct pollfd){.fd = dial(), .events = POLLOUT};
      }
      take_turns(fds, dialled, connections);
    }
    report();
    while (is_open(fds, connections)) take_turns(fds, dialled, connections);
  }
}

/* ---- idle ---- */

/* The last connection is accepted last: once it is answered, all are. */
static void idle(int connections) {
  struct pollfd fd = {.fd = -1, .events = POLLOUT};
  char byte;
  for (int i = 0; i < connections; i++) {
    fd = (struct pollfd){.fd = dial(), .events = POLLOUT};
    await_events(&fd, 1);
  }
  if (send(fd.fd, chunk, 1, MSG_NOSIGNAL) != 1) fail("send");
  fd.events = POLLIN;
  await_events(&fd, 1);
  if (recv(fd.fd, &byte, 1, 0) != 1) fail("recv");
  say("open");
}

/* ---- serve ---- */

#define MOST_SERVED 64

struct served {
  size_t filled, sent;
  char bytes[CHUNK];
};

static int listen_anywhere(void) {
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  socklen_t length = sizeof server;
  if (fd < 0 || bind(fd, (struct sockaddr *)&server, length) < 0 || listen(fd, MOST_SERVED) < 0) fail("listen");
  getsockname(fd, (struct sockaddr *)&server, &length);
  return fd;
}

/* Reads when all has been sent, and sends at once; false when the connection is over. */
static int serve_one(struct pollfd *fd, struct served *served) {
  if (served->sent == served->filled) {
    ssize_t received = recv(fd->fd, served->bytes, CHUNK, 0);
    if (received <= 0) return received < 0 && errno == EAGAIN;
    served->filled = (size_t)received;
    served->sent = 0;
  }
  ssize_t sent = send(fd->fd, served->bytes + served->sent, served->filled - served->sent, MSG_NOSIGNAL);
  if (sent < 0 && errno != EAGAIN) return 0;
  if (sent > 0) served->sent += (size_t)sent;
  fd->events = served->sent == served->filled ? POLLIN : POLLOUT;
  return 1;
}

/* Slot 0 is stdin, 1 the listener; a free slot is -1, which poll(2) passes over. */
static void serve(void) {
  static struct served served[2 + MOST_SERVED];
  struct pollfd fds[2 + MOST_SERVED];
  for (int i = 2; i < 2 + MOST_SERVED; i++) fds[i].fd = -1;
  fds[0] = (struct pollfd){.fd = 0, .events = POLLIN};
  fds[1] = (struct pollfd){.fd = listen_anywhere(), .events = POLLIN};
  printf("%d\n", ntohs(server.sin_port));
  fflush(stdout);
  while (poll(fds, 2 + MOST_SERVED, -1) > 0 && !fds[0].revents) {
    for (int i = 2; i < 2 + MOST_SERVED; i++) {
      if (fds[i].fd < 0 && fds[1].revents) {
        fds[1].revents = 0;
        fds[i] = (struct pollfd){.fd = accept(fds[1].fd, NULL, NULL), .events = POLLIN};
        if (fds[i].fd < 0) fail("accept");
        set_options(fds[i].fd);
        served[i].sent = served[i].filled = 0;
      } else if (fds[i].fd >= 0 && fds[i].revents && !serve_one(&fds[i], &served[i])) {
        close(fds[i].fd);
        fds[i].fd = -1;
      }
    }
  }
}

int main(int count, char **arguments) {
  struct rlimit descriptors;
  getrlimit(RLIMIT_NOFILE, &descriptors);
  descriptors.rlim_cur = descriptors.rlim_max;
  setrlimit(RLIMIT_NOFILE, &descriptors);
  server.sin_family = AF_INET;
  server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (count == 2 && !strcmp(arguments[1], "serve")) {
    serve();
    return 0;
  }
  if (count < 4) return 2;
  server.sin_port = htons((uint16_t)atoi(arguments[2]));
  int connections = atoi(arguments[3]);
#ifdef TLS
  if (!strcmp(arguments[1], "tls")) {
    tls = SSL_CTX_new(TLS_client_method());
    if (!tls) return 1;
    SSL_CTX_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    /* Otherwise each record takes two reads: its header, and the rest. */
    SSL_CTX_set_read_ahead(tls, 1);
  }
  if (tls && count == 6)
    echo(connections, (uint64_t)atol(arguments[4]), (uint64_t)atol(arguments[5]));
  else
#endif
  if (!strcmp(arguments[1], "echo") && count == 6)
    echo(connections, (uint64_t)atol(arguments[4]), (uint64_t)atol(arguments[5]));
  else if (!strcmp(arguments[1], "churn") && count == 4)
    churn(connections);
  else if (!strcmp(arguments[1], "idle") && count == 4)
    idle(connections);
  else
    return 2;
  while (read(0, chunk, 1) > 0) {}
  return 0;
}
