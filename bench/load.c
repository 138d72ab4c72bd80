/*
 * The load, in one process with one thread: non-blocking sockets and poll(2), so that it builds wherever there is a cc.
 *
 *   load echo PORT CONNECTIONS SIZE IN_FLIGHT SECONDS   each connection keeps IN_FLIGHT messages of SIZE bytes under way
 *   load churn PORT CONNECTIONS SECONDS                 connect, one byte, read it back, reset, and again
 *   load idle PORT CONNECTIONS                          opens connections, and holds them until stdin ends
 *
 * Prints one line of JSON: {"rate", "p50", "p99", "total"}, per second, in microseconds, and how many with the ramp; for
 * idle {"open"}.
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

/* What goes before the measuring starts: connections in their stride, the server's code compiled. */
#define RAMP_SECONDS 0.2
#define CHUNK (256 * 1024)
#define SLOWEST 1000000

static char chunk[CHUNK];
static struct sockaddr_in server;
static uint32_t latencies[SLOWEST];
static uint64_t measured, before;

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static double seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void record(double duration) {
  double micros = duration * 1e6;
  latencies[micros < SLOWEST ? (int)micros : SLOWEST - 1]++;
  measured++;
}

static void forget(void) {
  memset(latencies, 0, sizeof latencies);
  before = measured;
  measured = 0;
}

static int percentile(double share) {
  uint64_t seen = 0;
  for (int micros = 0; micros < SLOWEST; micros++) {
    seen += latencies[micros];
    if ((double)seen >= share * (double)measured) return micros;
  }
  return SLOWEST;
}

static void report(double duration) {
  if (measured == 0) {
    fputs("nothing came back\n", stderr);
    exit(1);
  }
  printf("{\"rate\":%.1f,\"p50\":%d,\"p99\":%d,\"total\":%llu}\n", (double)measured / duration, percentile(0.5),
         percentile(0.99), (unsigned long long)(before + measured));
}

/* A reset instead of TIME_WAIT, so that no run is short of ports. */
static void reset(int fd) {
  struct linger none = {1, 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
  close(fd);
}

static int dial(void) {
  int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
  if (fd < 0) fail("socket");
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  fcntl(fd, F_SETFL, O_NONBLOCK);
  if (connect(fd, (struct sockaddr *)&server, sizeof server) < 0 && errno != EINPROGRESS) fail("connect");
  return fd;
}

static void await_events(struct pollfd *fds, nfds_t count) {
  if (poll(fds, count, 10000) <= 0) fail("poll");
}

/* ---- echo ---- */

struct flow {
  uint64_t sent, received;
  double *started; /* of the messages under way, a ring */
};

static void transmit(struct pollfd *fd, struct flow *flow, uint64_t size, uint64_t in_flight) {
  uint64_t target = (flow->received / size + in_flight) * size;
  while (flow->sent < target) {
    uint64_t left = target - flow->sent;
    double now = seconds();
    ssize_t sent = send(fd->fd, chunk, left < CHUNK ? left : CHUNK, MSG_NOSIGNAL);
    if (sent < 0) {
      if (errno != EAGAIN) fail("send");
      break;
    }
    for (uint64_t next = (flow->sent + size - 1) / size; next * size < flow->sent + (uint64_t)sent; next++)
      flow->started[next % in_flight] = now;
    flow->sent += (uint64_t)sent;
  }
  fd->events = POLLIN | (flow->sent < target ? POLLOUT : 0);
}

static void receive(int fd, struct flow *flow, uint64_t size, uint64_t in_flight) {
  ssize_t received = recv(fd, chunk, CHUNK, 0);
  if (received == 0 || (received < 0 && errno != EAGAIN)) fail("recv");
  if (received < 0) return;
  uint64_t message = flow->received / size;
  flow->received += (uint64_t)received;
  double now = seconds();
  for (; message < flow->received / size; message++) record(now - flow->started[message % in_flight]);
}

static void echo(int connections, uint64_t size, uint64_t in_flight, double duration) {
  struct pollfd *fds = calloc((size_t)connections, sizeof *fds);
  struct flow *flows = calloc((size_t)connections, sizeof *flows);
  for (int i = 0; i < connections; i++) {
    fds[i] = (struct pollfd){.fd = dial(), .events = POLLOUT};
    flows[i].started = calloc(in_flight, sizeof(double));
  }
  double start = seconds() + RAMP_SECONDS, now;
  int ramping = 1;
  while ((now = seconds()) < start + duration) {
    if (ramping && now >= start) {
      ramping = 0;
      start = now;
      forget();
    }
    await_events(fds, (nfds_t)connections);
    for (int i = 0; i < connections; i++) {
      if (fds[i].revents & ~POLLOUT) receive(fds[i].fd, &flows[i], size, in_flight);
      if (fds[i].revents) transmit(&fds[i], &flows[i], size, in_flight);
    }
  }
  report(now - start);
}

/* ---- churn ---- */

static void churn(int connections, double duration) {
  struct pollfd *fds = calloc((size_t)connections, sizeof *fds);
  double *dialled = calloc((size_t)connections, sizeof *dialled);
  double start = seconds() + RAMP_SECONDS, now;
  int ramping = 1;
  for (int i = 0; i < connections; i++) fds[i].fd = -1;
  while ((now = seconds()) < start + duration) {
    if (ramping && now >= start) {
      ramping = 0;
      start = now;
      forget();
    }
    for (int i = 0; i < connections; i++) {
      if (fds[i].fd >= 0) continue;
      dialled[i] = seconds();
      fds[i] = (struct pollfd){.fd = dial(), .events = POLLOUT};
    }
    await_events(fds, (nfds_t)connections);
    for (int i = 0; i < connections; i++) {
      char byte;
      if (fds[i].revents & POLLIN) {
        if (recv(fds[i].fd, &byte, 1, 0) != 1) fail("recv");
        record(seconds() - dialled[i]);
        reset(fds[i].fd);
        fds[i].fd = -1;
      } else if (fds[i].revents & POLLOUT) {
        if (send(fds[i].fd, chunk, 1, MSG_NOSIGNAL) != 1) fail("send");
        fds[i].events = POLLIN;
      } else if (fds[i].revents) {
        fail("connect");
      }
    }
  }
  report(now - start);
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
  printf("{\"open\":%d}\n", connections);
  fflush(stdout);
  while (read(0, &byte, 1) > 0) {}
}

int main(int count, char **arguments) {
  struct rlimit descriptors;
  getrlimit(RLIMIT_NOFILE, &descriptors);
  descriptors.rlim_cur = descriptors.rlim_max;
  setrlimit(RLIMIT_NOFILE, &descriptors);
  if (count < 4) return 2;
  server.sin_family = AF_INET;
  server.sin_port = htons((uint16_t)atoi(arguments[2]));
  server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int connections = atoi(arguments[3]);
  if (!strcmp(arguments[1], "echo") && count == 7)
    echo(connections, (uint64_t)atol(arguments[4]), (uint64_t)atol(arguments[5]), atof(arguments[6]));
  else if (!strcmp(arguments[1], "churn") && count == 5)
    churn(connections, atof(arguments[4]));
  else if (!strcmp(arguments[1], "idle") && count == 4)
    idle(connections);
  else
    return 2;
  return 0;
}
