//! The recipes of docs/recipes.md: each one's table, and its command in a shell as a reader runs
//! it, on lines of the shape that the service or program writes.

use anyhow::{Context as _, Result, ensure};

use crate::packed::gzip;
use crate::readme::{fences_below, run_in_shell};
use crate::registry::{apply, load_test};
use crate::support::program::TestEnv;
use crate::support::s3::{Backend, Endpoint};

const RECIPES: &str = "docs/recipes.md";

/// A recipe, and the rows that it has to load.
struct Recipe {
    heading: &'static str,
    objects: &'static [(&'static str, &'static str)],
    /// Reads the rows as texts.
    query: &'static str,
    rows: &'static [&'static str],
}

const ALL: &[Recipe] = &[
    Recipe {
        heading: "CloudFront access logs",
        objects: &[(
            "cloudfront/E2.2026-01-30-10.gz",
            "#Version: 1.0\n\
             #Fields: date time x-edge-location sc-bytes c-ip cs-method cs(Host) cs-uri-stem \
             sc-status cs(Referer) cs(User-Agent) cs-uri-query cs(Cookie) x-edge-result-type \
             x-edge-request-id x-host-header cs-protocol cs-bytes time-taken x-forwarded-for \
             ssl-protocol ssl-cipher x-edge-response-result-type cs-protocol-version fle-status \
             fle-encrypted-fields c-port time-to-first-byte x-edge-detailed-result-type \
             sc-content-type sc-content-len sc-range-start sc-range-end\n\
             2026-01-30\t10:15:01\tFRA56-P1\t1532\t192.0.2.7\tGET\td1.cloudfront.net\t/a%20b.html\
             \t200\t-\tMozilla/5.0%20(X11)\tq=1\t-\tHit\tId1==\twww.example.com\thttps\t120\t0.004\
             \t-\tTLSv1.3\tTLS_AES_128_GCM_SHA256\tHit\tHTTP/2.0\t-\t-\t41234\t0.003\tHit\
             \ttext/html\t1200\t-\t-\n",
        )],
        query: "SELECT CONCAT_WS('|', at, edge, bytes, path, status, referer IS NULL, seconds) \
                FROM cloudfront",
        rows: &["2026-01-30 10:15:01|FRA56-P1|1532|/a%20b.html|200|1|0.004"],
    },
    Recipe {
        heading: "Load balancer access logs",
        objects: &[(
            "alb/1.log.gz",
            "https 2026-01-30T10:15:01.186641Z app/front/50dc6c495c0c9188 192.0.2.7:2817 \
             10.0.0.1:80 0.086 0.048 0.037 200 200 0 57 \"GET https://www.example.com:443/?a=b c \
             HTTP/1.1\" \"curl/8.5.0\" TLS_AES_128_GCM_SHA256 TLSv1.3 \
             arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/t/1 \
             \"Root=1-58337281-1d84f3d73c47ec4e58577259\" \"www.example.com\" \
             \"arn:aws:acm:eu-west-1:123456789012:certificate/1\" 1 2026-01-30T10:15:00.364000Z \
             \"forward\" \"-\" \"-\" \"10.0.0.1:80\" \"200\" \"-\" \"-\" TID_1234abcd\n\
             http 2026-01-30T10:15:02.000000Z app/front/50dc6c495c0c9188 192.0.2.8:2818 - -1 -1 -1 \
             460 - 0 0 \"- http://www.example.com:80- -\" \"-\" - - - \"-\" \"-\" \"-\" - \
             2026-01-30T10:15:02.000000Z \"-\" \"-\" \"-\" \"-\" \"-\" \"-\" \"-\" -\n",
        )],
        query: "SELECT CONCAT_WS('|', at, client, IFNULL(target, 'none'), elb_status, request, \
                IFNULL(agent, 'none')) FROM alb ORDER BY at",
        rows: &[
            "2026-01-30 10:15:01.186641|192.0.2.7:2817|10.0.0.1:80|200|GET \
             https://www.example.com:443/?a=b c HTTP/1.1|curl/8.5.0",
            "2026-01-30 10:15:02.000000|192.0.2.8:2818|none|460|- http://www.example.com:80- \
             -|none",
        ],
    },
    Recipe {
        heading: "S3 server access logs",
        objects: &[(
            "s3-access/2026-01-30-10-15-01-ABC",
            "79a59df900b949e5 my-bucket [30/Jan/2026:10:15:01 +0000] 192.0.2.7 \
             arn:aws:iam::123456789012:user/ann 3E57427F3EXAMPLE REST.GET.OBJECT \
             photos/a%2520b.jpg \"GET /my-bucket/photos/a%20b.jpg HTTP/1.1\" 200 - 2662992 \
             3462992 70 10 \"-\" \"S3Console/0.4\" - s9lzHYrFp76ZVxRcpX9+= SigV4 \
             ECDHE-RSA-AES128-GCM-SHA256 AuthHeader \
             my-bucket.s3.eu-west-1.amazonaws.com TLSv1.2 - Yes\n",
        )],
        query: "SELECT CONCAT_WS('|', at, operation, object_key, status, error IS NULL, size, \
                agent) FROM s3_access",
        rows: &[
            "2026-01-30 10:15:01|REST.GET.OBJECT|photos/a%2520b.jpg|200|1|3462992|S3Console/0.4",
        ],
    },
    Recipe {
        heading: "VPC flow logs",
        objects: &[(
            "vpc/123456789012_vpcflowlogs_1.log.gz",
            "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets \
             bytes start end action log-status\n\
             2 123456789012 eni-1235b8ca 172.31.16.139 172.31.16.21 20641 22 6 20 4249 1769767980 \
             1769768040 ACCEPT OK\n\
             2 123456789012 eni-1235b8ca - - - - - - - 1769768040 1769768100 - NODATA\n",
        )],
        query: "SELECT CONCAT_WS('|', IFNULL(source, 'none'), IFNULL(bytes, 'none'), began, ended, \
                log_status) FROM vpc_flow ORDER BY began",
        rows: &[
            "172.31.16.139|4249|2026-01-30 10:13:00|2026-01-30 10:14:00|OK",
            "none|none|2026-01-30 10:14:00|2026-01-30 10:15:00|NODATA",
        ],
    },
    Recipe {
        heading: "CloudTrail",
        objects: &[(
            "trail/123456789012_CloudTrail_1.json.gz",
            "{\"Records\":[{\"eventVersion\":\"1.08\",\"userIdentity\":{\"type\":\"IAMUser\",\
             \"arn\":\"arn:aws:iam::123456789012:user/ann\"},\"eventTime\":\
             \"2026-01-30T10:15:01Z\",\"eventSource\":\"ec2.amazonaws.com\",\
             \"eventName\":\"StartInstances\",\
             \"awsRegion\":\"eu-west-1\",\"sourceIPAddress\":\"192.0.2.7\",\"requestParameters\":\
             {\"instancesSet\":{\"items\":[{\"instanceId\":\"i-1\"}]}},\"responseElements\":null,\
             \"eventID\":\"0d7d4c0d-6c14-4ad6-9d2b-7d5e0f3c1a11\"},{\"userIdentity\":{\"type\":\
             \"AWSService\"},\"eventTime\":\"2026-01-30T10:15:02Z\",\"eventSource\":\
             \"kms.amazonaws.com\",\"eventName\":\"Decrypt\",\"awsRegion\":\"eu-west-1\",\
             \"sourceIPAddress\":\"AWS Internal\",\
             \"eventID\":\"1d7d4c0d-6c14-4ad6-9d2b-7d5e0f3c1a12\"}]}",
        )],
        query: "SELECT CONCAT_WS('|', at, event, IFNULL(user, 'none'), JSON_UNQUOTE(JSON_EXTRACT(\
                event_json, '$.userIdentity.type'))) FROM trail ORDER BY at",
        rows: &[
            "2026-01-30 10:15:01|StartInstances|arn:aws:iam::123456789012:user/ann|IAMUser",
            "2026-01-30 10:15:02|Decrypt|none|AWSService",
        ],
    },
    Recipe {
        heading: "Firehose",
        objects: &[(
            "firehose/2026/01/30/10/stream-1",
            "{\"id\":1,\"name\":\"a\",\"amount\":1.50}{\"id\":2,\"name\":\"b\",\"amount\":20}\n\
             {\"id\":3,\"name\":null,\"amount\":0.10}",
        )],
        query: "SELECT CONCAT_WS('|', id, IFNULL(name, 'none'), amount) FROM firehose ORDER BY id",
        rows: &["1|a|1.50", "2|b|20.00", "3|none|0.10"],
    },
    Recipe {
        heading: "Redshift UNLOAD",
        objects: &[
            ("unload/0000_part_00", "1,2026-01-30,1.50,\"a, b\"\n2,,20.00,\n"),
            ("unload/0001_part_00", "3,2026-01-31,0.10,\"say \"\"hi\"\"\"\n"),
            ("unload/of_last_week_part_00", "4,2026-01-01,9.99,old\n"),
            (
                "unload/manifest",
                "{\"entries\": [\n  {\"url\":\"s3://my-bucket/unload/0000_part_00\", \"meta\": \
                 {\"content_length\": 42}},\n  {\"url\":\"s3://my-bucket/unload/\
                 0001_part_00\"}\n]}",
            ),
        ],
        query: "SELECT CONCAT_WS('|', id, IFNULL(day, 'none'), amount, note) FROM sales ORDER BY \
                id",
        rows: &["1|2026-01-30|1.50|a, b", "2|none|20.00|", "3|2026-01-31|0.10|say \"hi\""],
    },
    Recipe {
        heading: "Spark",
        objects: &[
            ("spark/day=2026-01-30/part-00000-1.csv", "id,name\n1,ann\n2,\"say \\\"hi\\\", b\"\n"),
            ("spark/day=2026-01-31/part-00000-2.csv", "name,id\n,3\n"),
            ("spark/_SUCCESS", ""),
        ],
        query: "SELECT CONCAT_WS('|', id, name, day) FROM spark ORDER BY id",
        rows: &["1|ann|2026-01-30", "2|say \"hi\", b|2026-01-30", "3||2026-01-31"],
    },
    Recipe {
        heading: "Hive",
        objects: &[
            ("hive/day=2026-01-30/000000_0", "1\u{1}ann\n2\u{1}\\N\n"),
            ("hive/day=__HIVE_DEFAULT_PARTITION__/000000_0", "3\u{1}cy\n"),
        ],
        query: "SELECT CONCAT_WS('|', id, IFNULL(name, 'none'), IFNULL(day, 'none')) FROM hive \
                ORDER BY id",
        rows: &["1|ann|2026-01-30", "2|none|2026-01-30", "3|cy|none"],
    },
    Recipe {
        heading: "mysqldump and mydumper",
        objects: &[
            ("dump/dumped.sql", "CREATE TABLE dumped (...);\n"),
            ("dump/dumped.txt", "1\ta\\tb\t2026-01-30 10:15:01\n2\t\\N\t\\N\n"),
            ("dump/shop.dumped.00000.dat", "3\tline\\\nline\t2026-01-31 00:00:00\n"),
        ],
        query: "SELECT CONCAT_WS('|', id, IFNULL(HEX(note), 'none'), IFNULL(at, 'none')) FROM \
                dumped ORDER BY id",
        rows: &[
            "1|610962|2026-01-30 10:15:01",
            "2|none|none",
            "3|6C696E650A6C696E65|2026-01-31 00:00:00",
        ],
    },
    Recipe {
        heading: "pandas",
        objects: &[(
            "pandas/frame.csv",
            "at,id,score,is_new\n2026-01-30 10:15:01.500000,1,0.1,True\n,2,,False\n",
        )],
        query: "SELECT CONCAT_WS('|', id, IFNULL(score, 'none'), is_new, IFNULL(at, 'none')) FROM \
                frame ORDER BY id",
        rows: &["1|0.1|1|2026-01-30 10:15:01.500000", "2|none|0|none"],
    },
    Recipe {
        heading: "Excel",
        objects: &[(
            "excel/sheet.csv",
            "\u{feff}id;day;price;comment\r\n1;30.01.2026;1.234,50;\"a;b\"\r\n2;;0,99;\r\n",
        )],
        query: "SELECT CONCAT_WS('|', id, IFNULL(day, 'none'), price, comment) FROM sheet ORDER BY \
                id",
        rows: &["1|2026-01-30|1234.50|a;b", "2|none|0.99|"],
    },
];

#[apply(load_test)]
async fn every_recipe_loads_what_its_source_writes(env: TestEnv) -> Result<()> {
    let documented = fences_below(RECIPES)?;
    let headings: Vec<&str> = documented.iter().map(|(heading, _)| heading.as_str()).collect();
    let known: Vec<&str> = ALL.iter().map(|recipe| recipe.heading).collect();
    ensure!(headings == known, "{headings:?} are documented, {known:?} have objects");
    let s3 = Endpoint::start(Backend::new().with_bucket("my-bucket"))?;
    for (recipe, (heading, blocks)) in ALL.iter().zip(&documented) {
        for (key, text) in recipe.objects {
            let is_packed = key.rsplit_once('.').is_some_and(|(_, extension)| extension == "gz");
            let body = if is_packed { gzip(text.as_bytes())? } else { text.as_bytes().to_vec() };
            s3.backend().put("my-bucket", key, body)?;
        }
        let block = |language: &str| {
            let found = blocks.iter().find(|(of, _)| of == language);
            found
                .map(|(_, text)| text.as_str())
                .with_context(|| format!("{heading}: no {language}"))
        };
        env.schema.exec(block("sql")?).await.with_context(|| heading.clone())?;
        // The AWS command line is not there.
        let mut script = block("sh")?.to_owned();
        if let Some(copied) =
            script.strip_prefix("aws s3 cp s3://my-bucket/unload/manifest manifest\n")
        {
            let manifest = recipe.objects.iter().find(|(key, _)| key.ends_with("/manifest"));
            std::fs::write(env.path("manifest"), manifest.context("no manifest")?.1)?;
            script = copied.to_owned();
        }
        let script = format!("export DATABASE_URL='{}'\n{script}", env.schema.url());
        run_in_shell(&env, &s3, &script).await.with_context(|| heading.clone())?;
        let rows: Vec<String> = env.schema.query(recipe.query).await?;
        ensure!(rows == recipe.rows, "{heading}: {rows:#?}");
    }
    Ok(())
}
