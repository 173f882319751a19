wrk.method="POST"; wrk.headers["Content-Type"]="application/json"
wrk.body='{"ip":"10.0.0.1"}'
