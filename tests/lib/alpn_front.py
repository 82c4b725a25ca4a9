#!/usr/bin/env python3
"""A TLS front as AWS has on port 443: passes on to a plain MQTT port whoever asks for the ALPN protocol and has a certificate.

alpn_front.py PORT_FILE PEM CLIENT_CA TARGET_PORT PROTOCOL: a server that offers only this protocol. Who chose none is told so in
HTTP, as web servers do. What was agreed on is printed. Until stdin ends."""
import os
import socket
import ssl
import sys
import threading


def pump(source, target):
    try:
        while data := source.recv(65536):
            target.sendall(data)
    except OSError:
        pass
    for end in (source, target):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def serve(context, raw, target, protocol):
    try:
        connection = context.wrap_socket(raw, server_side=True)
        agreed = connection.selected_alpn_protocol()
        print(agreed, flush=True)
        if agreed != protocol or protocol.startswith("http"):
            connection.recv(4096)
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
            connection.close()
            return
        broker = socket.create_connection(("127.0.0.1", target))
    except OSError as fault:
        print("refused:", fault, flush=True)
        return
    threading.Thread(target=pump, args=(broker, connection), daemon=True).start()
    pump(connection, broker)


def main():
    port_file, pem, client_ca, target, protocol = sys.argv[1:6]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(client_ca)
    context.set_alpn_protocols([protocol])
    listener = socket.create_server(("127.0.0.1", 0))
    with open(port_file + ".new", "w") as file:
        file.write(str(listener.getsockname()[1]))
    os.rename(port_file + ".new", port_file)

    def accept():
        while True:
            threading.Thread(target=serve, args=(context, listener.accept()[0], int(target), protocol), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    sys.stdin.read()


main()
