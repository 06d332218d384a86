package connpool

import (
	"context"
	"net"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/credentials/insecure"
)

func TestOnlyAConnectionWithoutAnswersIsAbandoned(t *testing.T) {
	for name, answered := range map[string]bool{"slow": true, "black hole": false} {
		t.Run(name, func(t *testing.T) {
			near, far := net.Pipe()
			defer near.Close()
			defer far.Close()
			c := &conn{balancer: newPoolBalancer(&fakeClient{}, nil), socket: &socket{creds: insecure.NewCredentials()}}
			_, _, err := c.socket.TransportCredentials().ClientHandshake(context.Background(), "backend", near)
			require.NoError(t, err)
			c.answersAtCheck = c.answers.Load()
			if answered {
				c.finish(balancer.DoneInfo{})
			}
			c.abandon()
			open := make(chan bool, 1)
			go func() { _, err := far.Write([]byte("x")); open <- err == nil }()
			_, _ = near.Read(make([]byte, 1))
			assert.Equal(t, answered, <-open)
		})
	}
}

func TestASocketThatWasNeverConnectedIsClosedToo(t *testing.T) {
	s := &socket{creds: insecure.NewCredentials()}
	s.close()
	bundle, err := s.NewWithMode("")
	require.NoError(t, err)
	assert.Same(t, s, bundle)
	assert.Nil(t, bundle.PerRPCCredentials())
}
