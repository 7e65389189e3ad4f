package web_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/acme"

	"github.com/cypherface/edge/internal/web"
)

// acmeServer is an ACME authority (RFC 8555) for one order at a time. It checks
// signatures and proves names by tls-alpn-01 (RFC 8737) as a real one does, but
// finds every name at one address.
type acmeServer struct {
	t       testing.TB
	url     string
	root    string // file with what it is known by
	ca      *tls.Certificate
	address string // where all names lead

	mu     sync.Mutex // protects the fields below
	nonces int
	key    *ecdsa.PublicKey // of the account
	name   string           // in the order
	state  string           // of the order
	why    error            // the proof failed
	chain  []byte
}

func newACMEServer(t testing.TB, ca *tls.Certificate) *acmeServer {
	a := &acmeServer{t: t, ca: ca, root: filepath.Join(t.TempDir(), "root.pem")}
	ts := httptest.NewTLSServer(a)
	t.Cleanup(ts.Close)
	a.url = ts.URL
	root := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ts.Certificate().Raw})
	if err := os.WriteFile(a.root, root, 0o600); err != nil {
		t.Fatal(err)
	}
	return a
}

const acmeToken = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA"

func (a *acmeServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.nonces++
	w.Header().Set("Replay-Nonce", fmt.Sprintf("nonce-%d", a.nonces))
	if r.URL.Path == "/directory" {
		a.reply(w, 200, map[string]string{"newNonce": a.url + "/nonce", "newAccount": a.url + "/account", "newOrder": a.url + "/order", "revokeCert": a.url + "/revoke", "keyChange": a.url + "/key"})
		return
	}
	if r.Method == "HEAD" {
		return
	}
	payload, err := a.open(r)
	if err != nil {
		a.t.Errorf("%s: %v", r.URL.Path, err)
		a.reply(w, 400, map[string]string{"type": "urn:ietf:params:acme:error:malformed"})
		return
	}
	a.step(w, r.URL.Path, payload)
}

// step answers one signed request.
func (a *acmeServer) step(w http.ResponseWriter, path string, payload []byte) {
	switch path {
	case "/account":
		w.Header().Set("Location", a.url+"/account/1")
		a.reply(w, 201, map[string]string{"status": "valid"})
	case "/order":
		var in struct {
			Identifiers []struct{ Type, Value string }
		}
		if err := json.Unmarshal(payload, &in); err != nil || len(in.Identifiers) != 1 {
			a.t.Errorf("order %s", payload)
			return
		}
		a.name, a.state, a.why = in.Identifiers[0].Value, "pending", nil
		w.Header().Set("Location", a.url+"/order/1")
		a.reply(w, 201, a.order())
	case "/order/1":
		w.Header().Set("Location", a.url+"/order/1")
		a.reply(w, 200, a.order())
	case "/authz", "/challenge":
		if path == "/challenge" {
			if a.why = a.prove(); a.why == nil {
				a.state = "ready"
			} else {
				a.state = "invalid"
			}
			a.reply(w, 200, a.challenge())
			return
		}
		status := map[string]string{"pending": "pending", "invalid": "invalid"}[a.state]
		if status == "" {
			status = "valid"
		}
		a.reply(w, 200, map[string]any{"status": status, "identifier": map[string]string{"type": "dns", "value": a.name}, "challenges": []any{a.challenge()}})
	case "/finalize":
		a.issue(payload)
		w.Header().Set("Location", a.url+"/order/1")
		a.reply(w, 200, a.order())
	case "/cert":
		w.Header().Set("Content-Type", "application/pem-certificate-chain")
		_, _ = w.Write(a.chain)
	default:
		a.t.Errorf("asked for %s", path)
		w.WriteHeader(404)
	}
}

func (a *acmeServer) order() map[string]any {
	o := map[string]any{"status": a.state, "identifiers": []any{map[string]string{"type": "dns", "value": a.name}}, "authorizations": []string{a.url + "/authz"}, "finalize": a.url + "/finalize"}
	if a.state == "valid" {
		o["certificate"] = a.url + "/cert"
	}
	return o
}

func (a *acmeServer) challenge() map[string]any {
	return map[string]any{"type": "tls-alpn-01", "url": a.url + "/challenge", "token": acmeToken, "status": "pending"}
}

func (a *acmeServer) reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

// open checks the signature of a request (RFC 7515, ES256).
func (a *acmeServer) open(r *http.Request) ([]byte, error) {
	var jws struct{ Protected, Payload, Signature string }
	if err := json.NewDecoder(r.Body).Decode(&jws); err != nil {
		return nil, err
	}
	raw := func(s string) []byte { b, _ := base64.RawURLEncoding.DecodeString(s); return b }
	var head struct {
		Alg, Nonce, URL, Kid string
		JWK                  struct{ X, Y string }
	}
	if err := json.Unmarshal(raw(jws.Protected), &head); err != nil || head.Alg != "ES256" || head.URL != a.url+r.URL.Path {
		return nil, fmt.Errorf("protected header %s, %v", raw(jws.Protected), err)
	}
	if head.JWK.X != "" {
		var err error
		if a.key, err = ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append(append([]byte{4}, raw(head.JWK.X)...), raw(head.JWK.Y)...)); err != nil {
			return nil, err
		}
	}
	sig, digest := raw(jws.Signature), sha256.Sum256([]byte(jws.Protected+"."+jws.Payload))
	if len(sig) != 64 || a.key == nil || !ecdsa.Verify(a.key, digest[:], new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])) {
		return nil, errors.New("the signature is wrong")
	}
	return raw(jws.Payload), nil
}

// prove looks whether who answers for the name knows the token.
func (a *acmeServer) prove() error {
	conn, err := tls.Dial("tcp", a.address, &tls.Config{ServerName: a.name, NextProtos: []string{"acme-tls/1"}, InsecureSkipVerify: true}) // the certificate proves something else
	if err != nil {
		return err
	}
	defer conn.Close()
	thumb, err := acme.JWKThumbprint(a.key)
	if err != nil {
		return err
	}
	sum := sha256.Sum256([]byte(acmeToken + "." + thumb))
	want, _ := asn1.Marshal(sum[:])
	leaf := conn.ConnectionState().PeerCertificates[0]
	for _, ext := range leaf.Extensions {
		if ext.Id.String() == "1.3.6.1.5.5.7.1.31" && ext.Critical && bytes.Equal(ext.Value, want) && leaf.VerifyHostname(a.name) == nil {
			return nil
		}
	}
	return errors.New("no proof in the certificate")
}

// issue signs the request for a certificate.
func (a *acmeServer) issue(payload []byte) {
	var in struct{ CSR string }
	_ = json.Unmarshal(payload, &in) // what is missing is missed below
	der, _ := base64.RawURLEncoding.DecodeString(in.CSR)
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil || csr.CheckSignature() != nil || len(csr.DNSNames) != 1 || csr.DNSNames[0] != a.name {
		a.t.Errorf("request for a certificate: %v", err)
		return
	}
	leaf := issue(a.t, csr.PublicKey, a.name, a.ca)
	a.chain = append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf}), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.ca.Certificate[0]})...)
	a.state = "valid"
}

func TestCertificatesByACME(t *testing.T) {
	ca := authority(t)
	srv := newACMEServer(t, ca)
	cache := t.TempDir()
	certs, err := web.OpenACME(web.ACMEOptions{Names: []string{"box.example"}, Directory: srv.url + "/directory", CA: srv.root, Cache: cache})
	if err != nil {
		t.Fatal(err)
	}
	srv.address = serveTLS(t, certs)
	roots := x509.NewCertPool()
	roots.AddCert(ca.Leaf)
	ask := func(name string) (*http.Response, error) {
		client := http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: name}}}
		resp, err := client.Get("https://" + srv.address + "/")
		if err == nil {
			resp.Body.Close()
		}
		return resp, err
	}
	resp, err := ask("box.example")
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("%v (proof: %v)", err, srv.why)
	}
	if !strings.Contains(resp.Header.Get("Strict-Transport-Security"), "max-age=") {
		t.Error("browsers are not told to come by TLS only")
	}
	if _, err := ask("other.example"); err == nil {
		t.Error("a certificate for a name that nobody asked for")
	}
	if _, err := os.Stat(filepath.Join(cache, "box.example")); err != nil {
		t.Errorf("the certificate is not kept: %v", err)
	}
	if _, err := web.OpenACME(web.ACMEOptions{Names: []string{"x"}, CA: filepath.Join(cache, "none")}); err == nil {
		t.Error("opened without the authority's certificate")
	}
}
