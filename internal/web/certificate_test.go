package web_test

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cypherface/edge/internal/web"
)

// clockAt is a clock that a test sets.
type clockAt struct {
	now     time.Time
	trusted bool
}

func (c *clockAt) read() (time.Time, bool) { return c.now, c.trusted }

func openOwn(t *testing.T, dir string, c *clockAt, names ...string) *web.Own {
	t.Helper()
	o, err := web.OpenOwn(dir, names, c.read)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestTheOwnCertificate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tls")
	c := &clockAt{time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC), true}
	first := openOwn(t, dir, c, "box.example", "192.0.2.7")
	cert, err := first.Get(nil)
	if err != nil {
		t.Fatal(err)
	}
	pub, ok := cert.Leaf.PublicKey.(*ecdsa.PublicKey)
	if !ok || pub.Curve != elliptic.P256() {
		t.Errorf("key %T", cert.Leaf.PublicKey)
	}
	for _, name := range []string{"localhost", "127.0.0.1", "::1", "box.example", "192.0.2.7"} {
		if err := cert.Leaf.VerifyHostname(name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if st, err := os.Stat(filepath.Join(dir, "tls.key")); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("key file %v, %v", st, err)
	}
	if life := cert.Leaf.NotAfter.Sub(cert.Leaf.NotBefore); life > 825*24*time.Hour {
		t.Errorf("good for %v", life)
	}
	if f := first.Fingerprint(); len(f) != 95 || strings.Count(f, ":") != 31 {
		t.Errorf("fingerprint %s", f)
	}
	again := openOwn(t, dir, c, "box.example", "192.0.2.7")
	if again.Fingerprint() != first.Fingerprint() {
		t.Error("another certificate after a restart")
	}

	// In time there is a new one, with the same key.
	c.now = cert.Leaf.NotAfter.Add(-59 * 24 * time.Hour)
	if again.Fingerprint() == first.Fingerprint() && again.Pin() == first.Pin() {
		t.Error("it was not renewed in time")
	}
	renewed, _ := again.Get(nil)
	if !pub.Equal(renewed.Leaf.PublicKey) || renewed.Leaf.NotAfter.Before(c.now.Add(800*24*time.Hour)) {
		t.Errorf("renewed until %v", renewed.Leaf.NotAfter)
	}
	if other := openOwn(t, dir, c, "new.example"); other.Fingerprint() == again.Fingerprint() || other.Pin() != again.Pin() {
		t.Error("a new name did not make a new certificate with the same key")
	}
}

// A box that wakes up in 1970 shows what it has, and renews nothing until its
// clock can be trusted.
func TestTheOwnCertificateAndAWrongClock(t *testing.T) {
	dir := t.TempDir()
	c := &clockAt{time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC), true}
	before := openOwn(t, dir, c).Fingerprint()
	c.now, c.trusted = time.Date(1970, 1, 1, 0, 0, 5, 0, time.UTC), false
	o := openOwn(t, dir, c)
	if o.Fingerprint() != before {
		t.Error("renewed at a wrong time")
	}
	c.now, c.trusted = time.Date(2029, 1, 1, 0, 0, 0, 0, time.UTC), true
	if o.Fingerprint() == before {
		t.Error("not renewed when the time was known")
	}
}

func TestDamagedKeysAreNotReplacedInSilence(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "tls.key"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := web.OpenOwn(dir, nil, (&clockAt{time.Now(), true}).read)
	if err == nil || !strings.Contains(err.Error(), "remove it") {
		t.Errorf("got %v", err)
	}
}

// issue makes a certificate for a name, by itself or by an authority.
func issue(t testing.TB, pub any, name string, by *tls.Certificate) (der []byte) {
	t.Helper()
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(90 * 24 * time.Hour),
		IsCA: by.Leaf == nil, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	parent := by.Leaf
	if parent == nil {
		parent = tmpl
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, pub, by.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// authority makes a root certificate.
func authority(t testing.TB) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ca := &tls.Certificate{PrivateKey: key}
	der := issue(t, &key.PublicKey, "Test CA", ca)
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	ca.Certificate, ca.Leaf = [][]byte{der}, leaf
	return ca
}

// writePair puts a certificate and its key into two files.
func writePair(t *testing.T, dir, name string) (cert, key string) {
	t.Helper()
	priv, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(priv)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "c.pem"), filepath.Join(dir, "k.pem")
	leaf := issue(t, &priv.PublicKey, name, &tls.Certificate{PrivateKey: priv})
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: leaf}, key: {Type: "PRIVATE KEY", Bytes: der}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

func TestCertificatesFromFiles(t *testing.T) {
	dir := t.TempDir()
	if _, err := web.OpenFiles(filepath.Join(dir, "c.pem"), filepath.Join(dir, "k.pem")); err == nil {
		t.Error("opened what is not there")
	}
	cert, key := writePair(t, dir, "a.example")
	f, err := web.OpenFiles(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	got, err := f.Get(nil)
	if err != nil || got.Leaf.VerifyHostname("a.example") != nil || !f.Known() {
		t.Errorf("%v, %v", got, err)
	}
	if err := os.WriteFile(key, []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := web.OpenFiles(cert, key); err == nil {
		t.Error("opened a damaged key")
	}
}

// serveTLS serves "ok" by TLS only and returns the address.
func serveTLS(t *testing.T, c web.Certificates) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	routes := web.NewRoutes()
	routes.Handle("GET", "/{$}", func(w http.ResponseWriter, r *http.Request) error { return web.Write(w, 200, r.Proto) })
	s := (&web.Server{Routes: routes, HSTS: c.Known()}).HTTP(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(web.TLSOnly(l, web.TLS(c))) }()
	t.Cleanup(func() {
		s.Close()
		<-done
	})
	return l.Addr().String()
}

func TestTLSOnly(t *testing.T) {
	o := openOwn(t, t.TempDir(), &clockAt{time.Now(), true})
	address := serveTLS(t, o)
	cert, err := o.Get(nil)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert.Leaf)
	get := func(c *tls.Config) (*http.Response, error) {
		client := http.Client{Transport: &http.Transport{TLSClientConfig: c, ForceAttemptHTTP2: true, DisableKeepAlives: true}}
		resp, err := client.Get("https://" + address + "/")
		if err == nil {
			resp.Body.Close()
		}
		return resp, err
	}
	resp, err := get(&tls.Config{RootCAs: roots})
	if err != nil || resp.StatusCode != 200 || resp.ProtoMajor != 2 || resp.TLS.Version != tls.VersionTLS13 {
		t.Fatalf("%+v, %v", resp, err)
	}
	if resp.Header.Get("Strict-Transport-Security") != "" {
		t.Error("browsers are told to insist on a certificate that they do not know")
	}
	if resp, err := get(&tls.Config{RootCAs: roots, MaxVersion: tls.VersionTLS12}); err != nil || resp.StatusCode != 200 {
		t.Errorf("TLS 1.2: %v", err)
	}
	if _, err := get(&tls.Config{RootCAs: roots, MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}); err == nil {
		t.Error("TLS 1.1 was accepted")
	}
	weak := &tls.Config{RootCAs: roots, MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, tls.TLS_RSA_WITH_AES_128_CBC_SHA}}
	if _, err := get(weak); err == nil {
		t.Error("a weak suite was accepted")
	}

	// Who speaks plain HTTP is told so, once, in the one body of errors.
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute)) // a test must end
	fmt.Fprint(conn, "POST /access-token/ HTTP/1.1\r\nHost: box\r\nx-api-key: k\r\nContent-Length: 0\r\n\r\n")
	plain, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	var body web.ErrorBody
	if err := json.NewDecoder(plain.Body).Decode(&body); err != nil || plain.StatusCode != 400 || !strings.Contains(body.Message, "https://") || !plain.Close {
		t.Errorf("status %d, %+v, %v", plain.StatusCode, body, err)
	}
	if _, err := conn.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the connection stays open: %v", err)
	}
}

func TestNamesOfThisMachine(t *testing.T) {
	for _, name := range web.Names() {
		if ip := net.ParseIP(name); ip != nil && ip.IsLoopback() || name == "" {
			t.Errorf("name %q", name)
		}
	}
}
