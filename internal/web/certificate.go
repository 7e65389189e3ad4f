package web

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"
)

// Certificates are what a TLS server shows. The zero value of Clock is time.Now.
type Certificates interface {
	// Get returns the certificate for a handshake.
	Get(*tls.ClientHelloInfo) (*tls.Certificate, error)
	// Known reports whether clients have reason to know the issuer; they can then
	// be told to insist on TLS.
	Known() bool
}

// TLS is the configuration of a listener that shows these certificates: TLS 1.2
// with forward secrecy and authenticated encryption, or 1.3.
func TLS(c Certificates) *tls.Config {
	t := &tls.Config{
		GetCertificate: c.Get,
		MinVersion:     tls.VersionTLS12,
		CipherSuites: []uint16{ // of TLS 1.2; those of 1.3 are all good
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		},
		NextProtos: []string{"h2", "http/1.1"},
	}
	if _, ok := c.(*ACME); ok {
		t.NextProtos = append(t.NextProtos, acme.ALPNProto)
	}
	return t
}

// Life of a certificate that the box makes: Apple's clients take none of more
// than 825 days, from any issuer.
const (
	ownLife  = 825 * 24 * time.Hour
	ownRenew = 60 * 24 * time.Hour // so long before its end there is a new one
	ownEarly = 24 * time.Hour      // it begins in the past, for clients whose clocks lag
)

// Own is a certificate that the box made for itself. Its key stays when it is
// renewed, and so does its Pin.
type Own struct {
	dir   string
	names []string
	clock func() (now time.Time, trusted bool)

	mu   sync.Mutex // protects the fields below
	cert *tls.Certificate
}

var _ Certificates = (*Own)(nil)

const (
	ownKeyName  = "tls.key" // PKCS #8, mode 0600
	ownCertName = "tls.crt"
)

// OpenOwn reads the key and the certificate in a folder and makes what is
// missing: ECDSA on P-256, for localhost and the given names and addresses. As
// long as the clock is not trusted, a certificate that is there is shown
// whatever its dates say.
func OpenOwn(dir string, names []string, clock func() (now time.Time, trusted bool)) (*Own, error) {
	o := &Own{dir: dir, names: append([]string{"localhost", "127.0.0.1", "::1"}, names...), clock: clock}
	err := os.MkdirAll(dir, 0o700)
	if err == nil {
		o.cert, err = o.read()
	}
	if err == nil {
		_, err = o.Get(nil)
	}
	if err != nil {
		return nil, fmt.Errorf("open the box's own certificate: %w", err)
	}
	return o, nil
}

// Known is false: who wants to be sure compares the fingerprint.
func (o *Own) Known() bool { return false }

// Get returns the certificate, renewed if its time has come.
func (o *Own) Get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now, trusted := o.clock()
	if o.cert.Leaf != nil && (!trusted || o.fits(now)) {
		return o.cert, nil
	}
	err := o.renew(now)
	if err != nil && o.cert.Leaf != nil {
		return o.cert, nil // an old one is better than none
	}
	return o.cert, err
}

// fits reports whether the certificate is good for a while, and for the names.
func (o *Own) fits(now time.Time) bool {
	leaf := o.cert.Leaf
	if now.Before(leaf.NotBefore) || now.After(leaf.NotAfter.Add(-ownRenew)) {
		return false
	}
	for _, name := range o.names {
		if leaf.VerifyHostname(name) != nil {
			return false
		}
	}
	return true
}

// Fingerprint is the SHA-256 of the certificate, as browsers show it.
func (o *Own) Fingerprint() string {
	cert, err := o.Get(nil)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(cert.Leaf.Raw)
	return strings.ReplaceAll(fmt.Sprintf("% X", sum), " ", ":")
}

// Pin is the hash of the public key in the form of curl's --pinnedpubkey. It
// stays when the certificate is renewed.
func (o *Own) Pin() string {
	cert, err := o.Get(nil)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(cert.Leaf.RawSubjectPublicKeyInfo)
	return "sha256//" + base64.StdEncoding.EncodeToString(sum[:])
}

// read returns the key, made if there is none, with its certificate if there is
// a fitting one.
func (o *Own) read() (*tls.Certificate, error) {
	raw, err := os.ReadFile(filepath.Join(o.dir, ownKeyName))
	if errors.Is(err, fs.ErrNotExist) {
		return o.makeKey()
	} else if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(raw)
	if block == nil {
		return nil, fmt.Errorf("%s is not a key (remove it, and the box makes another)", filepath.Join(o.dir, ownKeyName))
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	key, ok := parsed.(*ecdsa.PrivateKey)
	if err != nil || !ok {
		return nil, fmt.Errorf("%s is not a key of the box (remove it, and it makes another)", filepath.Join(o.dir, ownKeyName))
	}
	cert := &tls.Certificate{PrivateKey: key}
	if raw, err = os.ReadFile(filepath.Join(o.dir, ownCertName)); err != nil {
		return cert, nil // it is made from the key
	}
	if block, _ = pem.Decode(raw); block != nil {
		leaf, err := x509.ParseCertificate(block.Bytes)
		if err == nil && key.PublicKey.Equal(leaf.PublicKey) {
			cert.Certificate, cert.Leaf = [][]byte{leaf.Raw}, leaf
		}
	}
	return cert, nil
}

func (o *Own) makeKey() (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{PrivateKey: key}, replaceFile(filepath.Join(o.dir, ownKeyName), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// renew makes a certificate that begins now.
func (o *Own) renew(now time.Time) error {
	serial := make([]byte, 16)
	_, _ = rand.Read(serial) // never fails
	serial[0] &= 0x7f
	template := &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(serial), Subject: pkix.Name{CommonName: "CypherFace Edge"},
		NotBefore: now.Add(-ownEarly), NotAfter: now.Add(ownLife - ownEarly),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	for _, name := range o.names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	key := o.cert.PrivateKey.(*ecdsa.PrivateKey)
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return fmt.Errorf("make certificate: %w", err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return err
	}
	if err := replaceFile(filepath.Join(o.dir, ownCertName), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})); err != nil {
		return err
	}
	o.cert = &tls.Certificate{Certificate: [][]byte{der}, Leaf: leaf, PrivateKey: key}
	return nil
}

// replaceFile writes a file whole, for its owner alone.
func replaceFile(path string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // gone after the rename
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// Files is a certificate that somebody else issued and keeps up to date in two
// PEM files: the chain, the leaf first, and its key.
type Files struct {
	cert, key string

	mu     sync.Mutex // protects the fields below
	shown  *tls.Certificate
	raw    []byte // of both files
	looked time.Time
}

var _ Certificates = (*Files)(nil)

// filesEvery is how often the files are looked at again.
const filesEvery = 10 * time.Second

// OpenFiles reads the two files. They are read again when they have changed; what
// is then not a certificate with its key is not taken over.
func OpenFiles(cert, key string) (*Files, error) {
	f := &Files{cert: cert, key: key}
	if err := f.reload(); err != nil {
		return nil, fmt.Errorf("open certificate: %w", err)
	}
	return f, nil
}

// Known is true: somebody else issued it.
func (f *Files) Known() bool { return true }

// Get returns the certificate in the files.
func (f *Files) Get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if time.Since(f.looked) < filesEvery {
		return f.shown, nil
	}
	_ = f.reload() // that of before is still there
	return f.shown, nil
}

func (f *Files) reload() error {
	f.looked = time.Now()
	cert, err := os.ReadFile(f.cert)
	if err != nil {
		return err
	}
	key, err := os.ReadFile(f.key)
	if err != nil {
		return err
	}
	raw := append(bytes.Clone(cert), key...)
	if bytes.Equal(raw, f.raw) {
		return nil
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return fmt.Errorf("%s and %s: %w", f.cert, f.key, err)
	}
	f.shown, f.raw = &pair, raw
	return nil
}

// ACME gets certificates from an authority (RFC 8555), which proves the names by
// a handshake with the box (tls-alpn-01, RFC 8737): port 443 of each name must
// lead here.
type ACME struct{ manager *autocert.Manager }

var _ Certificates = (*ACME)(nil)

// ACMEOptions are how to reach an authority. Names is required.
type ACMEOptions struct {
	Names     []string // that certificates are asked for
	Directory string   // URL; empty: Let's Encrypt
	Email     string   // for the authority to reach somebody; may be empty
	CA        string   // PEM file that the authority itself is known by; empty: the system's
	Cache     string   // folder of the account key and the certificates, mode 0700
}

// OpenACME makes one. The authority is asked at the first handshake.
func OpenACME(opt ACMEOptions) (*ACME, error) {
	client := &acme.Client{DirectoryURL: opt.Directory, UserAgent: "cypherface-edge"}
	if opt.CA != "" {
		roots, err := os.ReadFile(opt.CA)
		pool := x509.NewCertPool()
		if err == nil && !pool.AppendCertsFromPEM(roots) {
			err = fmt.Errorf("%s has no certificate", opt.CA)
		}
		if err != nil {
			return nil, fmt.Errorf("read the certificate of the ACME authority: %w", err)
		}
		client.HTTPClient = &http.Client{
			Timeout:   30 * time.Second,
			Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}},
		}
	}
	return &ACME{&autocert.Manager{
		Prompt: autocert.AcceptTOS, HostPolicy: autocert.HostWhitelist(opt.Names...),
		Cache: autocert.DirCache(opt.Cache), Email: opt.Email, Client: client,
	}}, nil
}

// Known is true: that is what the authority is for.
func (a *ACME) Known() bool { return true }

// Get returns the certificate for the name in the handshake.
func (a *ACME) Get(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	return a.manager.GetCertificate(hello)
}

// Names are the names and addresses that this machine has, for a certificate: the
// host name and the addresses of its interfaces.
func Names() (names []string) {
	if host, err := os.Hostname(); err == nil && host != "localhost" && validName(host) {
		names = append(names, host)
		if !strings.Contains(host, ".") {
			names = append(names, host+".local") // as mDNS calls it
		}
	}
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return names
	}
	for _, a := range addresses {
		if ip, ok := a.(*net.IPNet); ok && !ip.IP.IsLoopback() && !ip.IP.IsLinkLocalUnicast() {
			names = append(names, ip.IP.String())
		}
	}
	return names
}

// validName keeps a strange host name from making the certificate unusable.
func validName(host string) bool {
	return (&x509.Certificate{DNSNames: []string{host}}).VerifyHostname(host) == nil
}
