"""Kafka for the tests: a throwaway broker for the run, with topics of their own for whoever asks."""

import itertools
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import msgspec
import pytest

from kith.settings import Settings
from tests.postgres import REQUIRED

POM = Path(__file__).parent / "broker" / "pom.xml"
JAVA = ("-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
CLUSTER_ID = "a2l0aC10ZXN0cy1icm9rZQ"
PROPERTIES = """\
process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.quorum.voters=1@127.0.0.1:{controller}
log.dirs={data}
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=1000
broker.heartbeat.interval.ms=200
log.retention.check.interval.ms=1000
num.network.threads=2
num.io.threads=2
"""


# A second listener, for who has a name and a password, over TLS.
USER, PASSWORD = "kith", "a secret"
STORE_PASSWORD = "of a test"
SECURED = """\
listeners=PLAINTEXT://127.0.0.1:{port},SECURED://127.0.0.1:{secured},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port},SECURED://127.0.0.1:{secured}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SECURED:SASL_SSL,CONTROLLER:PLAINTEXT
ssl.keystore.location={folder}/broker.p12
ssl.keystore.type=PKCS12
ssl.keystore.password={store_password}
listener.name.secured.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
listener.name.secured.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \\
  user_{user}="{password}";
listener.name.secured.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.secured.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
"""


# A third, at another address of this machine.
CABLE = """\
listeners=PLAINTEXT://127.0.0.1:{port},CABLE://{host}:{other},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port},CABLE://{host}:{other}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CABLE:PLAINTEXT,CONTROLLER:PLAINTEXT
"""


@dataclass
class Broker:
    """A running Kafka of one node, controller and broker in one process."""

    folder: Path
    port: int
    classpath: str
    # Of the listener beside the plain one.
    other_port: int = 0
    _process: "subprocess.Popen[bytes] | None" = None
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    def make_settings(self, settings: Settings) -> Settings:
        """The settings with a topic on this broker that nobody else has."""
        topic = f"test{next(self._numbers)}-{os.urandom(4).hex()}.commands"
        return msgspec.structs.replace(settings, kafka_bootstrap=self.bootstrap, kafka_topic=topic)

    def make_secured_settings(self, settings: Settings, mechanism: str) -> Settings:
        """As ``make_settings``, by the secured listener."""
        return msgspec.structs.replace(
            self.make_settings(settings),
            kafka_bootstrap=f"127.0.0.1:{self.other_port}",
            kafka_security_protocol="SASL_SSL",
            kafka_sasl_mechanism=mechanism,
            kafka_sasl_username=USER,
            kafka_sasl_password=PASSWORD,
            kafka_ca_file=str(self.folder / "broker.pem"),
        )

    def start(self) -> None:
        """Returns when it serves."""
        self._process = subprocess.Popen(
            ["java", *JAVA, "-cp", self.classpath, "kafka.Kafka", str(self.folder / "server.properties")],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        said = self._process.stdout
        assert said is not None
        lines = []
        for line in said:
            lines.append(line.decode())
            if b"Kafka Server started" in line:
                break
        else:
            raise AssertionError("Kafka does not start:\n" + "".join(lines))
        # What it says from now on has to be taken, or it stops when the pipe is full.
        threading.Thread(target=keep, args=(said, self.folder / "kafka.log")).start()

    def send_signal(self, sign: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(sign)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        # What it holds is thrown away: no need to wait until it has put that in order.
        self.kill()

    def _end(self, sign: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(sign)
            self._process.wait()
            self._process = None


def keep(said: IO[bytes], path: Path) -> None:
    with said, path.open("wb") as file:
        shutil.copyfileobj(said, file)


def find_classpath() -> str:
    """The jars of Kafka, which Maven resolves. Skips the test where Java or Maven are missing."""
    for program, package in (("java", "default-jre-headless"), ("mvn", "maven")):
        if shutil.which(program) is None:
            message = f"{program} is not installed (apt-get install {package})"
            if REQUIRED:
                pytest.fail(message)
            pytest.skip(message)
    # Maven takes seconds: it is asked again when the list of jars is older than what it is made from, or one is gone.
    output = Path(sys.prefix) / "kafka.classpath"
    if output.exists() and output.stat().st_mtime > POM.stat().st_mtime:
        known = output.read_text()
        if all(Path(jar).exists() for jar in known.split(os.pathsep)):
            return known
    command = ["mvn", "-q", "-B", "-f", str(POM), "dependency:build-classpath", f"-Dmdep.outputFile={output}"]
    if subprocess.run([*command, "-o"], capture_output=True, check=False).returncode != 0:
        found = subprocess.run(command, capture_output=True, text=True, check=False)
        assert found.returncode == 0, f"Maven does not find Kafka:\n{found.stdout}{found.stderr}"
    return output.read_text()


def find_free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def make_certificate(folder: Path) -> None:
    """The broker's own, and beside it what makes others trust it."""
    store = ["-alias", "broker", "-keystore", str(folder / "broker.p12"), "-storepass", STORE_PASSWORD]
    subject = ["-dname", "CN=broker", "-ext", "SAN=ip:127.0.0.1", "-keyalg", "EC", "-validity", "2"]
    subprocess.run(["keytool", "-genkeypair", *store, *subject], check=True, capture_output=True)
    export = ["keytool", "-exportcert", "-rfc", *store, "-file", str(folder / "broker.pem")]
    subprocess.run(export, check=True, capture_output=True)


@contextmanager
def running_broker(folder: Path, *, secured: bool = False, host: str | None = None) -> Iterator[Broker]:
    """A broker with its data below the folder, gone at the end.

    ``secured``: with a listener by TLS and SASL beside; ``host``: with one at the end of a cable.
    """
    folder.mkdir(parents=True, exist_ok=True)
    port, controller, other_port = find_free_ports(3)
    broker = Broker(folder, port, find_classpath(), other_port)
    properties = folder / "server.properties"
    text = PROPERTIES.format(port=port, controller=controller, data=folder / "data")
    users: list[str] = []
    if host is not None:
        text += CABLE.format(port=port, controller=controller, host=host, other=other_port)
    if secured:
        make_certificate(folder)
        known = {"folder": folder, "store_password": STORE_PASSWORD, "user": USER, "password": PASSWORD}
        text += SECURED.format(port=port, controller=controller, secured=other_port, **known)
        for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512"):
            users += ["--add-scram", f"{mechanism}=[name={USER},password={PASSWORD}]"]
    properties.write_text(text)
    tool = ["java", *JAVA, "-cp", broker.classpath, "kafka.tools.StorageTool"]
    command = [*tool, "format", "-t", CLUSTER_ID, "-c", str(properties), *users]
    subprocess.run(command, check=True, capture_output=True)
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()
