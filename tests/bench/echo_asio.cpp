// SPDX-License-Identifier: MIT
// An echo server with Boost.Asio, on one thread and told so: no locks.
#include "listener.h"

#include <boost/asio.hpp>

namespace asio = boost::asio;
using asio::ip::tcp;

struct connection {
    tcp::socket socket;
    char buffer[BUFFER];

    explicit connection(tcp::socket &&s) : socket(std::move(s)) {}

    void receive() {
        socket.async_read_some(asio::buffer(buffer, sizeof buffer),
            [this](boost::system::error_code error, std::size_t count) {
                if (error)
                    delete this;
                else
                    send(count);
            });
    }

    void send(std::size_t count) {
        asio::async_write(socket, asio::buffer(buffer, count),
            [this](boost::system::error_code error, std::size_t) {
                if (error)
                    delete this;
                else
                    receive();
            });
    }
};

static void accept_next(tcp::acceptor &acceptor) {
    acceptor.async_accept(
        [&acceptor](boost::system::error_code error, tcp::socket socket) {
            if (!error) (new connection(std::move(socket)))->receive();
            accept_next(acceptor);
        });
}

int main() {
    asio::io_context context(BOOST_ASIO_CONCURRENCY_HINT_UNSAFE);
    tcp::acceptor acceptor(context);
    acceptor.assign(tcp::v4(), open_listener(0));
    accept_next(acceptor);
    context.run();
}
