//! The node of `criscope demo`: small, believable, and with something to find.
//!
//! One worker with its system pods and three applications. `shop/checkout` is in a crash loop, a nightly job is done
//! and its sandbox left behind, one sandbox was made again after a reboot, two images hang around without a tag.

use std::time::Duration;

use super::{Clock, Container, Image, Pod, World};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

const PAUSE: &str = "registry.k8s.io/pause:3.8";
const PROXY: &str = "registry.k8s.io/kube-proxy:v1.30.4";
const DNS: &str = "registry.k8s.io/coredns/coredns:v1.11.1";
const NETWORK: &str = "docker.io/flannel/flannel:v0.25.6";
const METRICS: &str = "registry.k8s.io/metrics-server/metrics-server:v0.7.2";
const NGINX: &str = "docker.io/library/nginx:1.27";
const POSTGRES: &str = "docker.io/library/postgres:16";
const CHECKOUT: &str = "registry.example.com/shop/checkout:2.4.1";
const REPORT: &str = "registry.example.com/reports/nightly:11";

impl World {
    /// The demo node, with the machine's clock.
    pub fn demo() -> Self {
        Self::demo_at(Clock::System)
    }

    /// The demo node with a clock of one's own.
    pub fn demo_at(clock: Clock) -> Self {
        // Build metadata says what it is and leaves the version readable.
        let mut world = Self::empty_at("containerd", "1.7.28+demo", clock);
        world.images_of_demo();
        world.system_of_demo();
        world.applications_of_demo();
        world
    }

    fn images_of_demo(&mut self) {
        for image in [
            Image::new(PAUSE, 311_286).user("65535").pinned(),
            Image::new(PROXY, 29_210_000),
            Image::new(DNS, 18_182_961).user("nonroot"),
            Image::new(NETWORK, 26_620_000),
            Image::new(METRICS, 19_490_000).user("65534"),
            Image::new(NGINX, 72_100_000).tag("registry.example.com/mirror/nginx:stable"),
            Image::new(POSTGRES, 160_900_000),
            Image::new(CHECKOUT, 48_310_000).user("10001"),
            Image::new(REPORT, 91_750_000),
            // What the tags above meant before.
            Image::new("registry.example.com/shop/checkout:2.4.0", 48_290_000)
                .user("10001")
                .dangling(),
            Image::new("docker.io/library/nginx:1.26", 71_000_000).dangling(),
        ] {
            self.add_image(image);
        }
    }

    fn system_of_demo(&mut self) {
        // Made again after a reboot four days ago; the old sandbox is still listed.
        let before = self.ago(seconds(19 * DAY));
        let boot = self.ago(seconds(4 * DAY + 3 * HOUR));
        let proxy = |attempt| {
            labelled(
                Pod::attempt("kube-system", "kube-proxy-7x9kd", attempt),
                "k8s-app",
                "kube-proxy",
            )
        };
        let old = self.add_pod(proxy(0).host_network().created(before).not_ready());
        let ran = seconds(15 * DAY);
        self.add_container(
            &old,
            Container::new("kube-proxy", PROXY)
                .created(before)
                .exited(255, "Unknown", ran),
        );
        let pod = self.add_pod(proxy(1).host_network().created(boot));
        self.add_container(
            &pod,
            Container::attempt("kube-proxy", PROXY, 1).created(boot),
        );

        let pod = labelled(
            Pod::attempt("kube-flannel", "kube-flannel-ds-q2mzr", 1),
            "app",
            "flannel",
        );
        let pod = self.add_pod(pod.host_network().created(boot));
        let done = Container::attempt("install-cni", NETWORK, 1)
            .created(boot)
            .command(&["cp", "-f"]);
        self.add_container(&pod, done.exited(0, "Completed", seconds(1)));
        let flanneld = Container::attempt("kube-flannel", NETWORK, 1).created(boot + 2_000_000_000);
        self.add_container(
            &pod,
            flanneld.command(&["/opt/bin/flanneld", "--ip-masq", "--kube-subnet-mgr"]),
        );

        let pod = labelled(
            Pod::attempt("kube-system", "coredns-7db6d8ff4d-vq8lm", 1),
            "k8s-app",
            "kube-dns",
        );
        let pod = self.add_pod(
            pod.label("pod-template-hash", "7db6d8ff4d")
                .created(boot + 9_000_000_000),
        );
        let coredns = Container::attempt("coredns", DNS, 1).created(boot + 10_000_000_000);
        self.add_container(
            &pod,
            coredns.memory_limit(170 << 20).command(&[
                "/coredns",
                "-conf",
                "/etc/coredns/Corefile",
            ]),
        );

        let at = self.ago(seconds(2 * DAY));
        let pod = labelled(
            Pod::new("kube-system", "metrics-server-75bf97fcc9-t6s2p"),
            "k8s-app",
            "metrics-server",
        );
        let pod = self.add_pod(pod.created(at));
        self.add_container(
            &pod,
            Container::new("metrics-server", METRICS).created(at + 1_000_000_000),
        );
    }

    fn applications_of_demo(&mut self) {
        let at = self.ago(seconds(26 * HOUR));
        for name in ["frontend-6c4f9d7b8-2kxqz", "frontend-6c4f9d7b8-9wv5n"] {
            let pod = labelled(Pod::new("shop", name), "app", "frontend")
                .label("pod-template-hash", "6c4f9d7b8");
            let pod = self.add_pod(pod.created(at));
            let nginx = Container::new("nginx", NGINX)
                .created(at + 1_200_000_000)
                .memory_limit(128 << 20);
            self.add_container(&pod, nginx.command(&["nginx", "-g", "daemon off;"]));
        }

        let at = self.ago(seconds(9 * DAY));
        let pod = labelled(Pod::new("shop", "postgres-0"), "app", "postgres");
        let pod = self.add_pod(
            pod.label("statefulset.kubernetes.io/pod-name", "postgres-0")
                .created(at),
        );
        let postgres = Container::new("postgres", POSTGRES)
            .created(at + 1_500_000_000)
            .memory_limit(1 << 30);
        self.add_container(&pod, postgres.command(&["postgres"]));

        // A crash loop: the kubelet keeps the last two tries.
        let at = self.ago(seconds(47 * MINUTE));
        let pod = labelled(
            Pod::new("shop", "checkout-5d7c8bb9f4-rj4hs"),
            "app",
            "checkout",
        );
        let pod = self.add_pod(pod.label("pod-template-hash", "5d7c8bb9f4").created(at));
        for (attempt, age) in [(12, 8 * MINUTE), (13, 3 * MINUTE)] {
            let checkout =
                Container::attempt("checkout", CHECKOUT, attempt).created(self.ago(seconds(age)));
            let checkout = checkout
                .memory_limit(256 << 20)
                .command(&["/checkout", "--listen=:8080"]);
            self.add_container(&pod, checkout.exited(1, "Error", seconds(4)));
        }

        let at = self.ago(seconds(7 * HOUR));
        let pod = labelled(
            Pod::new("batch", "nightly-report-29384720-mwz8k"),
            "job-name",
            "nightly-report-29384720",
        );
        let pod = self.add_pod(pod.created(at).not_ready());
        self.add_container(
            &pod,
            Container::new("report", REPORT)
                .created(at)
                .exited(0, "Completed", seconds(312)),
        );
    }
}

fn labelled(pod: Pod, key: &str, value: &str) -> Pod {
    pod.label(key, value).annotation(
        "kubernetes.io/config.seen",
        "2025-01-01T00:00:00.000000000Z",
    )
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
