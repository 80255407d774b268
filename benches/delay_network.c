/* A TCP proxy that holds back what each side sends for a millisecond: delay_network LISTEN_PORT SERVER_PORT.
 * It prints a line when it listens, and ends with its parent. */

#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { DELAY = 1000000, PIECE = 65536, EVENTS = 64 };

/* What was read at a time, or the end of the stream when `length` is 0. */
struct piece {
    struct piece *next;
    int64_t due;
    ssize_t length, sent;
    char bytes[];
};

/* One of the two ends of a connection, and what is held back on its way there. */
struct end {
    struct end *other;
    int socket, ended, closed;
    struct piece *first, **last;
    struct end *next;
};

static struct end *ends;
static int poll_set, timer;
static int64_t wake_at;

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static int64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static struct sockaddr_in loopback(const char *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(port))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

static void wake(int64_t at)
{
    if (wake_at != 0 && wake_at <= at)
        return;
    struct itimerspec when = {.it_value = {at / 1000000000, at % 1000000000}};
    timerfd_settime(timer, TFD_TIMER_ABSTIME, &when, NULL);
    wake_at = at;
}

static struct end *add_end(int socket)
{
    int on = 1;
    setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct end *end = calloc(1, sizeof *end);
    end->socket = socket;
    end->last = &end->first;
    end->next = ends;
    ends = end;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = end};
    epoll_ctl(poll_set, EPOLL_CTL_ADD, socket, &event);
    return end;
}

static void accept_one(int listener, const char *server_port)
{
    int client = accept(listener, NULL, NULL), server = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = loopback(server_port);
    if (client < 0 || connect(server, (struct sockaddr *)&address, sizeof address) != 0) {
        close(client);
        close(server);
        return;
    }
    struct end *one = add_end(client), *two = add_end(server);
    one->other = two;
    two->other = one;
}

static void hold_back(struct end *from)
{
    struct piece *piece = malloc(sizeof *piece + PIECE);
    ssize_t length = recv(from->socket, piece->bytes, PIECE, MSG_DONTWAIT);
    if (length < 0 && (errno == EAGAIN || errno == EINTR)) {
        free(piece);
        return;
    }
    if (length <= 0) {
        from->ended = 1;
        epoll_ctl(poll_set, EPOLL_CTL_DEL, from->socket, NULL);
    }
    piece = realloc(piece, sizeof *piece + (length > 0 ? length : 0));
    *piece = (struct piece){.due = now() + DELAY, .length = length > 0 ? length : 0};
    *from->other->last = piece;
    from->other->last = &piece->next;
    wake(piece->due);
}

/* Sends what is due to one end, and returns when the next piece is due, or 0. */
static int64_t deliver(struct end *to)
{
    int64_t time = now();
    while (to->first) {
        struct piece *piece = to->first;
        if (piece->due > time)
            return piece->due;
        if (piece->length == 0) {
            shutdown(to->socket, SHUT_WR);
            to->closed = 1;
        }
        ssize_t sent = 0;
        if (piece->length > 0)
            sent = send(to->socket, piece->bytes + piece->sent, piece->length - piece->sent, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN)
            return time + DELAY / 10;
        piece->sent = sent < 0 ? piece->length : piece->sent + sent;
        if (piece->sent < piece->length)
            continue;
        to->first = piece->next;
        if (!to->first)
            to->last = &to->first;
        free(piece);
    }
    return 0;
}

static void deliver_all(void)
{
    int64_t next = 0;
    for (struct end *end = ends; end; end = end->next) {
        int64_t due = deliver(end);
        if (due && (!next || due < next))
            next = due;
    }
    wake_at = 0;
    if (next)
        wake(next);
}

/* Both directions have ended: the sockets are closed. */
static int is_over(struct end *end)
{
    return end->closed && end->ended && end->other->closed && end->other->ended;
}

static void close_what_is_over(void)
{
    for (struct end *end = ends; end; end = end->next)
        if (end->socket >= 0 && is_over(end)) {
            close(end->socket);
            end->socket = -1;
        }
    for (struct end **at = &ends; *at;) {
        struct end *end = *at;
        if (end->socket >= 0) {
            at = &end->next;
            continue;
        }
        *at = end->next;
        free(end);
    }
}

static int listen_on(const char *port)
{
    struct sockaddr_in address = loopback(port);
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(listener, 64) != 0)
        fail("listen");
    return listener;
}

int main(int count, char **arguments)
{
    if (count != 3)
        return 64;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_TIMERSLACK, 1);
    /* Where this is permitted, other processes do not lengthen the delay. */
    sched_setscheduler(0, SCHED_FIFO, &(struct sched_param){.sched_priority = 1});
    poll_set = epoll_create1(0);
    timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    int listener = listen_on(arguments[1]);
    struct epoll_event listening = {.events = EPOLLIN, .data.ptr = &listener};
    struct epoll_event ticking = {.events = EPOLLIN, .data.ptr = &timer};
    epoll_ctl(poll_set, EPOLL_CTL_ADD, listener, &listening);
    epoll_ctl(poll_set, EPOLL_CTL_ADD, timer, &ticking);
    puts("listening");
    fflush(stdout);
    for (;;) {
        struct epoll_event events[EVENTS];
        int ready = epoll_wait(poll_set, events, EVENTS, -1);
        for (int at = 0; at < ready; at++) {
            uint64_t expired;
            if (events[at].data.ptr == &listener)
                accept_one(listener, arguments[2]);
            else if (events[at].data.ptr == &timer)
                (void)!read(timer, &expired, sizeof expired);
            else
                hold_back(events[at].data.ptr);
        }
        deliver_all();
        close_what_is_over();
    }
}
