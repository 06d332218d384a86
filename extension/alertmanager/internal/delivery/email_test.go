package delivery

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// mailbox is an SMTP server with TLS and authentication.
type mailbox struct {
	mails chan mail
}

type mail struct {
	user, from, to, body string
	encrypted            bool
}

// NewSession implements smtp.Backend.
func (m *mailbox) NewSession(c *smtp.Conn) (smtp.Session, error) {
	_, encrypted := c.TLSConnectionState()
	return &session{mailbox: m, mail: mail{encrypted: encrypted}}, nil
}

type session struct {
	mailbox *mailbox
	mail    mail
}

func (*session) AuthMechanisms() []string { return []string{sasl.Plain} }

func (s *session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != "collector" || password != "from-the-file" {
			return errors.New("wrong password")
		}
		s.mail.user = user
		return nil
	}), nil
}

func (s *session) Mail(from string, _ *smtp.MailOptions) error { s.mail.from = from; return nil }
func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error   { s.mail.to = to; return nil }

func (s *session) Data(r io.Reader) error {
	body, err := io.ReadAll(r)
	s.mail.body = string(body)
	s.mailbox.mails <- s.mail
	return err
}
func (*session) Reset()        {}
func (*session) Logout() error { return nil }

// certificate makes one for 127.0.0.1 and returns it with the file that a client trusts.
func certificate(t *testing.T) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, file
}

func TestEMailGoesOverTLSWithAPasswordFromAFile(t *testing.T) {
	own, ca := certificate(t)
	box := &mailbox{mails: make(chan mail, 10)}
	server := smtp.NewServer(box)
	server.Domain, server.TLSConfig = "mail.example", &tls.Config{Certificates: []tls.Certificate{own}}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var serving sync.WaitGroup
	serving.Go(func() { assert.NoError(t, server.Serve(listener)) })
	t.Cleanup(func() {
		assert.NoError(t, server.Close())
		serving.Wait()
	})
	password := filepath.Join(t.TempDir(), "password")
	require.NoError(t, os.WriteFile(password, []byte("from-the-file"), 0o600))

	d := start(t, Config{}, `
global:
  smtp_smarthost: "`+listener.Addr().String()+`"
  smtp_from: collector@example.com
  smtp_auth_username: collector
  smtp_auth_password_file: `+password+`
  smtp_tls_config: {ca_file: `+ca+`}
route: {receiver: mail, `+quick+`}
receivers: [{name: mail, email_configs: [{to: ops@example.com}]}]
`)
	require.NoError(t, d.Send(t.Context(), firing("DiskFull")))
	select {
	case m := <-box.mails:
		assert.True(t, m.encrypted)
		assert.Equal(t, "collector", m.user)
		assert.Equal(t, "collector@example.com", m.from)
		assert.Equal(t, "ops@example.com", m.to)
		assert.Contains(t, m.body, "DiskFull")
		assert.Contains(t, m.body, "http://collector.example")
	case <-time.After(wait):
		require.FailNow(t, "no mail")
	}
}
