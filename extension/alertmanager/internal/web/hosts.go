package web

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// checkHost refuses requests whose Host names neither a loopback address nor one of the allowed hosts. A page elsewhere whose name
// suddenly resolves to loopback (DNS rebinding) is of the same origin as we are for the browser; only the name gives it away.
func checkHost(next http.Handler, allowed []string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := hostOf(r.Host)
		address, err := netip.ParseAddr(host)
		if host == "localhost" || (err == nil && address.Unmap().IsLoopback()) || slices.Contains(allowed, host) {
			next.ServeHTTP(w, r)
			return
		}
		answer(w, http.StatusForbidden, problem{Error: fmt.Sprintf(
			"the host %q is not served: without an authenticator only loopback names and addresses are, and those in `allowed_hosts` and `external_url`",
			host)})
	})
}

// hostOf returns the host of a Host header or an endpoint in one spelling: without port, brackets, final dot and capitals.
func hostOf(hostPort string) string {
	host, _, err := net.SplitHostPort(hostPort)
	if err != nil {
		host = strings.TrimSuffix(strings.TrimPrefix(hostPort, "["), "]")
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}
