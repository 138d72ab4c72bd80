"""Twisted, as its documentation has it: a Protocol that writes what it receives, a LineReceiver that sends lines."""

from control import announce, service
from twisted.internet import protocol, reactor
from twisted.protocols.basic import LineReceiver


class Echo(protocol.Protocol):
    def connectionMade(self):
        self.transport.setTcpNoDelay(True)

    def dataReceived(self, data):
        self.transport.write(data)


class Pieces(Echo):
    def dataReceived(self, data):
        for start in range(0, len(data), 64):
            self.transport.write(data[start : start + 64])


class Lines(LineReceiver):
    delimiter = b"\n"

    def connectionMade(self):
        self.transport.setTcpNoDelay(True)

    def lineReceived(self, line):
        self.sendLine(line)


factory = protocol.Factory.forProtocol({"echo": Echo, "pieces": Pieces, "lines": Lines}[service])
port = reactor.listenTCP(0, factory, backlog=4096, interface="127.0.0.1")
reactor.callWhenRunning(lambda: announce(port.getHost().port))
reactor.run()
